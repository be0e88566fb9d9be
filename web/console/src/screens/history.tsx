// Every version of the policy, what it changed, and the way back.
import { useState } from 'preact/hooks';
import { call, can, TAILNET } from '../api';
import { useAction, useData } from '../data';
import { t, tw } from '../i18n';
import { Badge, Card, Confirm, Diff, Load, ProblemBox, say, Time } from '../ui';
import { quoted, type Version } from './access';

interface Page {
  versions: Version[];
  nextCursor?: string;
}

function Changed({ rev }: { rev: number }) {
  const diff = useData<{ unified: string }>(`${TAILNET}/acl/diff?to=${rev}`, ['policy']);
  return <Load of={diff}>{(d) => <Diff text={d.unified} />}</Load>;
}

function Back({ rev, current, onClose, done }: { rev: number; current?: Version; onClose: () => void; done: () => void }) {
  const diff = useData<{ unified: string }>(`${TAILNET}/acl/diff?from=current&to=${rev}`, ['policy']);
  const act = useAction();
  const yes = async () => {
    if (await act.run(async () => void (await call('POST', `${TAILNET}/acl/rollback`, { rev }, { etag: current && quoted(current.etag), accept: 'application/hujson' })))) {
      say(t('history.back.done', { rev }));
      done();
      onClose();
    }
  };
  return (
    <Confirm title={t('history.back')} text={t('history.back.text', { rev })} action={t('history.back')} open onClose={onClose} onYes={yes} busy={act.busy} problem={act.problem}>
      <Load of={diff}>{(d) => <Diff text={d.unified} />}</Load>
    </Confirm>
  );
}

function Row({ v, onBack }: { v: Version; onBack: () => void }) {
  const [open, setOpen] = useState(false);
  return (
    <li>
      <div class="grow">
        <p><span class="strong">{t('history.rev', { rev: v.rev })}</span> {v.current && <Badge tone="good">{t('history.current')}</Badge>} <Badge>{tw('history.via', v.via)}</Badge></p>
        {v.message && <p class="break">{v.message}</p>}
        <p class="dim">{v.author} · <Time at={v.created} /></p>
      </div>
      <button type="button" class="small" aria-expanded={open} onClick={() => setOpen(!open)}>{t('history.changed')}</button>
      {!v.current && can('policy.write') && <button type="button" class="small" onClick={onBack}>{t('history.back')}</button>}
      {open && <div class="whole"><Changed rev={v.rev} /></div>}
    </li>
  );
}

export function History() {
  const first = useData<Page>(`${TAILNET}/acl/history`, ['policy']);
  const [more, setMore] = useState<{ list: Version[]; next?: string }>();
  const [back, setBack] = useState(0);
  const act = useAction();
  const next = more ? more.next : first.data?.nextCursor;
  const older = () => act.run(async () => {
    const page = (await call<Page>('GET', `${TAILNET}/acl/history?cursor=${next}`)).data;
    setMore({ list: [...(more?.list ?? []), ...page.versions], next: page.nextCursor });
  });
  return (
    <Card title={t('access.tab.history')}>
      <Load of={first}>{(p) => <ul class="lines">{[...p.versions, ...(more?.list ?? [])].map((v) => <Row v={v} key={v.rev} onBack={() => setBack(v.rev)} />)}</ul>}</Load>
      {act.problem && <ProblemBox problem={act.problem} />}
      {next && <div class="row"><button type="button" disabled={act.busy} onClick={older}>{t('older')}</button></div>}
      {back > 0 && <Back rev={back} current={first.data?.versions.find((v) => v.current)} onClose={() => setBack(0)} done={() => void first.reload()} />}
    </Card>
  );
}
