// "Add machine": a key of the wanted kind and the one line to run with it.
import { useState } from 'preact/hooks';
import { call, TAILNET } from '../api';
import { useAction } from '../data';
import { t } from '../i18n';
import { Check, Command, Dialog, Field, Once, ProblemBox, Select } from '../ui';

const DAY = 86400;

export interface KeyWish {
  description: string;
  reusable: boolean;
  ephemeral: boolean;
  preauthorized: boolean;
  tags: string[];
  expirySeconds: number;
}

export const tagsOf = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean).map((x) => (x.startsWith('tag:') ? x : `tag:${x}`));

export async function makeAuthKey(w: KeyWish): Promise<{ key: string; id: string }> {
  const { reusable, ephemeral, preauthorized, tags } = w;
  const body = { keyType: 'auth', description: w.description, expirySeconds: w.expirySeconds, capabilities: { devices: { create: { reusable, ephemeral, preauthorized, tags } } } };
  return (await call<{ key: string; id: string }>('POST', `${TAILNET}/keys`, body)).data;
}

export function KeyForm({ onMake, busy }: { onMake: (w: KeyWish) => void; busy: boolean }) {
  const [w, set] = useState({ description: '', reusable: false, ephemeral: false, preauthorized: true, tags: '', expirySeconds: String(DAY) });
  const toggle = (k: 'reusable' | 'ephemeral' | 'preauthorized') => ({ checked: w[k], onChange: () => set({ ...w, [k]: !w[k] }) });
  const submit = (e: Event) => {
    e.preventDefault();
    onMake({ ...w, tags: tagsOf(w.tags), expirySeconds: Number(w.expirySeconds) });
  };
  return (
    <form onSubmit={submit}>
      <Field label={t('keys.description')} hint={t('keys.description.hint')} value={w.description} maxLength={50} onInput={(e) => set({ ...w, description: e.currentTarget.value })} />
      <div class="pair">
        <Field label={t('machine.tags')} hint={t('keys.tags.hint')} value={w.tags} onInput={(e) => set({ ...w, tags: e.currentTarget.value })} />
        <Select label={t('keys.lasts')} value={w.expirySeconds} onChange={(v) => set({ ...w, expirySeconds: v })}
          options={[[String(3600), t('lasts.hour')], [String(DAY), t('lasts.day')], [String(7 * DAY), t('lasts.week')], [String(90 * DAY), t('lasts.quarter')]]} />
      </div>
      <Check label={t('keys.preauthorized')} hint={t('keys.preauthorized.hint')} {...toggle('preauthorized')} />
      <Check label={t('keys.reusable')} hint={t('keys.reusable.hint')} {...toggle('reusable')} />
      <Check label={t('keys.ephemeral')} hint={t('keys.ephemeral.hint')} {...toggle('ephemeral')} />
      <div class="row"><button class="primary" disabled={busy}>{t('keys.make')}</button></div>
    </form>
  );
}

export function AddMachine({ open, onClose }: { open: boolean; onClose: () => void }) {
  const [key, setKey] = useState('');
  const act = useAction();
  const close = () => {
    setKey('');
    act.clear();
    onClose();
  };
  const make = (w: KeyWish) => act.run(async () => setKey((await makeAuthKey(w)).key));
  const line = `sudo funnel up ${location.origin}`;
  return (
    <Dialog title={t('machines.add')} open={open} onClose={close} wide>
      {key ? (
        <>
          <Once secret={key} label={t('keys.new')} />
          <p>{t('machines.add.run')}</p>
          <Command text={`echo '${key}' | ${line} --auth-key -`} />
          <p class="dim">{t('machines.add.file')}</p>
        </>
      ) : (
        <>
          <p>{t('machines.add.browser')}</p>
          <Command text={line} />
          <h3>{t('machines.add.key')}</h3>
          {act.problem && <ProblemBox problem={act.problem} />}
          <KeyForm onMake={make} busy={act.busy} />
        </>
      )}
    </Dialog>
  );
}
