// Starts the console: language, who is here, then the frame and the screen that the address names. Screens other than the
// first come when somebody goes there.
import { render, type ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { me, problemFrom, whoAmI } from './api';
import { loadLanguage } from './i18n';
import { startLive } from './live';
import { place, startRouter } from './router';
import { Frame } from './frame';
import { ProblemBox, Screen } from './ui';
import { t } from './i18n';

type ScreenModule = Promise<{ default: ComponentType }>;
const screens: Record<string, () => ScreenModule> = {
  overview: () => import('./screens/overview'),
  funnels: () => import('./screens/funnels'),
  requests: () => import('./screens/requests'),
  machines: () => import('./screens/machines'),
  access: () => import('./screens/access'),
  users: () => import('./screens/users'),
  logs: () => import('./screens/logs'),
  settings: () => import('./screens/settings'),
};
const loaded: Record<string, ComponentType> = {};

function Unknown() {
  return <Screen title={t('unknown.title')} lead={t('unknown.text')}><p><a href="/console/">{t('unknown.back')}</a></p></Screen>;
}

function Failed({ error }: { error: unknown }) {
  return <Screen title={t('error.title')}><ProblemBox problem={problemFrom(error)} retry={() => location.reload()} /></Screen>;
}

function Current() {
  const name = place.value.screen;
  const [, again] = useState(0);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    setError(undefined);
    if (loaded[name] || !screens[name]) return;
    screens[name]().then((m) => {
      loaded[name] = m.default;
      again((n) => n + 1);
    }, setError);
  }, [name]);
  if (error) return <Failed error={error} />;
  if (!screens[name]) return <Unknown />;
  const Now = loaded[name];
  return Now ? <Now /> : <p class="loading" role="status">{t('loading')}</p>;
}

async function start(): Promise<void> {
  const root = document.getElementById('app')!;
  // All three at once: on a slow line each round trip is seen.
  const who = whoAmI().then(() => undefined, (e: unknown) => e), first = place.value.screen;
  const screen = screens[first]?.().then((m) => (loaded[first] = m.default), () => undefined);
  await loadLanguage();
  const error = await who;
  if (error) {
    render(<main><Failed error={error} /></main>, root);
    return;
  }
  await screen;
  if (!me.value) return;
  startRouter();
  startLive();
  render(<Frame><Current /></Frame>, root);
}

void start();
