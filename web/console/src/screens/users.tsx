// Who may do what: people with their roles, invitations, keys and OAuth clients.
import { useState } from 'preact/hooks';
import { call, can, me, TAILNET } from '../api';
import { useAction, useData } from '../data';
import { t, tn, tw } from '../i18n';
import { place, setQuery, to } from '../router';
import { Badge, Card, Confirm, Copy, Dialog, Empty, Field, Load, ProblemBox, say, Screen, Select, Tabs, Time, type Tone } from '../ui';
import { Keys } from './keys';

interface Person {
  id: string;
  loginName: string;
  displayName?: string;
  role: string;
  status: string;
  deviceCount?: number;
  lastSeen?: string;
  currentlyConnected?: boolean;
}

interface Invite {
  id: string;
  email?: string;
  role: string;
  inviter?: string;
  expires?: string;
  accepted?: boolean;
  inviteUrl?: string;
}

const ROLES = ['owner', 'admin', 'network-admin', 'it-admin', 'billing-admin', 'auditor', 'member'];
const tones: Record<string, Tone> = { active: 'good', suspended: 'bad', 'needs-approval': 'warn' };
const roleOptions = (roles: string[]): [string, string][] => roles.map((r) => [r, tw('role', r)]);

type Verb = 'suspend' | 'delete';

function Person({ p, act, onAsk }: { p: Person; act: (path: string, body: object) => void; onAsk: (verb: Verb, p: Person) => void }) {
  const mine = p.id === me.value?.id, write = can('users.write') && !mine;
  return (
    <tr>
      <td><a href={to('machines', '', { q: p.loginName })} class="strong break">{p.loginName}</a>{p.displayName && p.displayName !== p.loginName && <p class="dim break">{p.displayName}</p>}</td>
      <td data-label={t('users.role')}>{write ? <Select hidden label={t('users.role.of', { who: p.loginName })} value={p.role} options={roleOptions(ROLES.filter((r) => r !== 'owner' || p.role === 'owner'))} onChange={(role) => act('role', { role })} /> : tw('role', p.role)}</td>
      <td data-label={t('state')}><Badge tone={tones[p.status] ?? 'plain'}>{tw('user.status', p.status)}</Badge></td>
      <td data-label={t('nav.machines')}>{p.deviceCount ?? '–'}</td>
      <td data-label={t('machine.seen')}>{p.currentlyConnected ? t('machine.online') : <Time at={p.lastSeen} />}</td>
      <td class="end">{write && <span class="actions">
        {p.status === 'needs-approval' && <button type="button" class="small primary" onClick={() => act('approve', {})}>{t('users.approve')}</button>}
        {p.status === 'suspended' ? <button type="button" class="small" onClick={() => act('restore', {})}>{t('users.restore')}</button>
          : p.role !== 'owner' && <button type="button" class="small" onClick={() => onAsk('suspend', p)}>{t('users.suspend')}</button>}
        {p.role !== 'owner' && <button type="button" class="small danger" onClick={() => onAsk('delete', p)}>{t('delete')}</button>}
      </span>}</td>
    </tr>
  );
}

function People() {
  const users = useData<{ users: Person[] }>(`${TAILNET}/users`, ['users']);
  const [ask, setAsk] = useState<{ verb: Verb; p: Person }>();
  const act = useAction();
  const run = (id: string, path: string, body: object) => act.run(async () => {
    await call('POST', `/users/${id}/${path}`, body);
    say(t('saved'));
    await users.reload();
  });
  const q = place.value.query.get('q') ?? '';
  const shown = (users.data?.users ?? []).filter((p) => `${p.loginName} ${p.displayName} ${p.role}`.toLowerCase().includes(q.toLowerCase()));
  const yes = async () => (await run(ask!.p.id, ask!.verb, {})) && setAsk(undefined);
  return (
    <>
      <div class="filters" role="search"><p class="field grow"><label class="away" for="q">{t('search')}</label><input id="q" type="search" placeholder={t('users.search')} value={q} onInput={(e) => setQuery({ q: e.currentTarget.value })} /></p></div>
      <Card>
        {act.problem && !ask && <ProblemBox problem={act.problem} />}
        <Load of={users}>{() => (
          <>
            <p class="dim" role="status">{tn('users.count', shown.length)}</p>
            <table class="list">
              <thead><tr><th scope="col">{t('users.person')}</th><th scope="col">{t('users.role')}</th><th scope="col">{t('state')}</th><th scope="col">{t('nav.machines')}</th><th scope="col">{t('machine.seen')}</th><td /></tr></thead>
              <tbody>{shown.map((p) => <Person p={p} key={p.id} act={(path, body) => void run(p.id, path, body)} onAsk={(verb, who) => setAsk({ verb, p: who })} />)}</tbody>
            </table>
          </>
        )}</Load>
      </Card>
      <Confirm title={t(ask?.verb === 'suspend' ? 'users.suspend' : 'users.delete')} text={t(ask?.verb === 'suspend' ? 'users.suspend.text' : 'users.delete.text', { who: ask?.p.loginName ?? '' })}
        action={t(ask?.verb === 'suspend' ? 'users.suspend' : 'users.delete')} open={!!ask} onClose={() => setAsk(undefined)} onYes={() => void yes()} busy={act.busy} problem={act.problem} />
    </>
  );
}

function NewInvite({ open, onClose, done }: { open: boolean; onClose: () => void; done: () => void }) {
  const [email, setEmail] = useState('');
  const [role, setRole] = useState('member');
  const [made, setMade] = useState<Invite>();
  const act = useAction();
  const close = () => {
    setMade(undefined);
    setEmail('');
    act.clear();
    onClose();
  };
  const make = (e: Event) => {
    e.preventDefault();
    void act.run(async () => {
      const list = (await call<Invite[]>('POST', `${TAILNET}/user-invites`, [{ role, ...(email ? { email } : {}) }])).data;
      setMade(list[0]);
      done();
    });
  };
  return (
    <Dialog title={t('invites.new')} open={open} onClose={close}>
      {made?.inviteUrl ? <><p>{t('invites.link')}</p><div class="command"><code tabIndex={0}>{made.inviteUrl}</code><Copy text={made.inviteUrl} label={t('invites.new')} /></div></> : (
        <form onSubmit={make}>
          <Field label={t('invites.email')} type="email" value={email} required onInput={(e) => setEmail(e.currentTarget.value)} />
          <Select label={t('users.role')} value={role} options={roleOptions(ROLES.slice(1).reverse())} onChange={setRole} />
          {act.problem && <ProblemBox problem={act.problem} />}
          <div class="row"><button class="primary" disabled={act.busy}>{t('invites.make')}</button></div>
        </form>
      )}
    </Dialog>
  );
}

function Invites() {
  const invites = useData<Invite[] | { userInvites: Invite[] }>(`${TAILNET}/user-invites`, ['users']);
  const [making, setMaking] = useState(false);
  const act = useAction();
  const drop = (i: Invite) => void act.run(async () => {
    await call('DELETE', `/user-invites/${i.id}`);
    say(t('saved'));
    await invites.reload();
  });
  return (
    <Card title={t('users.tab.invites')} aside={can('users.write') && <button type="button" class="primary" onClick={() => setMaking(true)}>{t('invites.new')}</button>}>
      {act.problem && <ProblemBox problem={act.problem} />}
      <Load of={invites}>{(d) => {
        const list = Array.isArray(d) ? d : d.userInvites;
        return list.length ? (
          <ul class="lines">{list.map((i) => (
            <li key={i.id}><div class="grow"><span class="strong break">{i.email ?? i.id}</span><p class="dim">{tw('role', i.role)}{i.inviter && <> · {i.inviter}</>}{i.expires && <> · {t('expires')} <Time at={i.expires} /></>}</p></div>
              {i.accepted ? <Badge tone="good">{t('invites.accepted')}</Badge> : <><Badge tone="warn">{t('invites.open')}</Badge>{i.inviteUrl && <Copy text={i.inviteUrl} label={i.email ?? i.id} />}
                <button type="button" class="small danger" disabled={act.busy} onClick={() => drop(i)}>{t('invites.drop')}</button></>}
            </li>
          ))}</ul>
        ) : <Empty title={t('invites.none')} text={t('invites.none.text')} command="funnelctl invite create bob@example.com" />;
      }}</Load>
      <NewInvite open={making} onClose={() => setMaking(false)} done={() => void invites.reload()} />
    </Card>
  );
}

export default function Users() {
  const tab = place.value.id || 'people';
  const tabs = ['people', 'invites', 'keys'];
  return (
    <Screen title={t('nav.users')} lead={t('users.lead')}>
      <Tabs label={t('nav.users')} items={tabs.map((id) => ({ href: to('users', id === 'people' ? '' : id), text: tw('users.tab', id), on: tab === id }))} />
      {tab === 'invites' ? <Invites /> : tab === 'keys' ? <Keys /> : <People />}
    </Screen>
  );
}

