// What stands around every screen: the way to the others, who is signed in, whether the page is live.
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { me, TAILNET } from './api';
import { useData } from './data';
import { languageNames, chooseLanguage, language, num, t, tn, type Key, type Language } from './i18n';
import { Icon, type IconName } from './icons';
import { liveState } from './live';
import { place, to } from './router';
import { Said } from './ui';

const items: IconName[] = ['overview', 'funnels', 'requests', 'machines', 'access', 'users', 'logs', 'settings'];

function Waiting() {
  const { data } = useData<{ requests?: unknown[] }>(`${TAILNET}/funnel-requests?state=pending`, ['requests']);
  const n = data?.requests?.length ?? 0;
  return n ? <span class="count"><span aria-hidden="true">{num(n)}</span><span class="away">{tn('nav.waiting', n)}</span></span> : null;
}

/** Nobody should look for a fault where somebody has closed everything. */
function Closed() {
  const { data } = useData<{ locked: boolean; by?: string; reason?: string }>(`${TAILNET}/funnel-lock`, ['settings', 'funnels']);
  return data?.locked ? <p class="closed" role="status"><span class="strong">{t('lock.on')}.</span> {data.by}{data.reason && ` · “${data.reason}”`} · <a href={to('settings')}>{t('lock')}</a></p> : null;
}

function Live() {
  const state = liveState.value;
  return <span class={`pulse ${state}`} title={t(`live.${state}.text` as Key)}><i aria-hidden="true" />{t(`live.${state}` as Key)}</span>;
}

function SignedIn() {
  const who = me.value!;
  return (
    <div class="who">
      <a href="/account" class="login" title={t('nav.account')}>{who.loginName}</a>
      <span class="dim">{t(`role.${who.role}` as Key)}</span>
      <div class="who-row">
        <label><span class="away">{t('language')}</span>
          <select class="small" value={language} onChange={(e) => chooseLanguage(e.currentTarget.value as Language)}>
            {Object.entries(languageNames).map(([k, v]) => <option value={k} key={k}>{v}</option>)}
          </select>
        </label>
        <form method="post" action="/logout">
          <input type="hidden" name="csrf" value={who.csrfToken ?? ''} />
          <button class="small">{t('nav.out')}</button>
        </form>
      </div>
    </div>
  );
}

export function Frame({ children }: { children: ComponentChildren }) {
  const here = place.value.screen;
  const [open, setOpen] = useState(false);
  useEffect(() => setOpen(false), [place.value]);
  useEffect(() => {
    const key = (e: KeyboardEvent) => e.key === 'Escape' && setOpen(false);
    addEventListener('keydown', key);
    return () => removeEventListener('keydown', key);
  }, []);
  return (
    <div class={`frame${open ? ' open' : ''}`}>
      <a class="skip" href="#main">{t('skip')}</a>
      <header class="side">
        <div class="brand">
          <a href="/console/"><Icon name="brand" /><span>OpenFunnel</span></a>
          <button type="button" class="small menu" aria-expanded={open} aria-controls="menu" onClick={() => setOpen(!open)}>{t('menu')}</button>
        </div>
        <div class="menu-body" id="menu">
          <nav aria-label={t('nav')}>
            <ul>
              {items.map((name) => (
                <li key={name}>
                  <a href={to(name)} aria-current={here === name ? 'page' : undefined}><Icon name={name} /><span>{t(`nav.${name}` as Key)}</span>{name === 'requests' && <Waiting />}</a>
                </li>
              ))}
            </ul>
          </nav>
          <div class="foot"><Live /><SignedIn /></div>
        </div>
      </header>
      <main id="main" tabIndex={-1}><Closed />{children}</main>
      <Said />
    </div>
  );
}
