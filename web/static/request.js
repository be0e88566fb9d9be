// The consent page works without this script. It adds what a document cannot do: Approve waits until
// the page has been visible for a moment, other ports show their own diff, the outcome appears by
// itself, and the time that is left is counted down.
const card = document.querySelector('[data-request]');
const path = location.pathname;

document.querySelector('h1')?.focus();

// A click that was meant for what lay here a moment ago decides nothing.
const approve = document.querySelector('#approve');
if (approve) {
  const settle = 700;
  let timer = 0;
  const arm = () => {
    clearTimeout(timer);
    approve.disabled = true;
    if (document.visibilityState === 'visible' && document.hasFocus()) {
      timer = setTimeout(() => { approve.disabled = false; }, settle);
    }
  };
  for (const name of ['focus', 'blur', 'resize', 'pageshow']) addEventListener(name, arm);
  document.addEventListener('visibilitychange', arm);
  arm();
  approve.form.addEventListener('submit', (e) => {
    if (approve.disabled) e.preventDefault();
  });
}

// Which ports are given is part of the diff: show the one that belongs to the choice.
const ports = document.querySelector('#ports');
if (ports) {
  ports.addEventListener('change', () => {
    const form = new FormData(approve.form);
    const chosen = [...ports.querySelectorAll('input')].filter((i) => i.checked).map((i) => i.name.slice(1));
    const query = new URLSearchParams({ ports: chosen.join(','), grant: form.get('grant') ?? '', seconds: form.get('seconds') ?? '' });
    location.replace(`${path}?${query}#grants`);
  });
}

const valid = document.querySelector('#valid time');
if (valid) {
  const left = document.createElement('span');
  const say = () => {
    const minutes = Math.max(0, Math.round((Date.parse(valid.dateTime) - Date.now()) / 60000));
    left.textContent = minutes >= 120 ? ` (${Math.floor(minutes / 60)} hours left)` : ` (${minutes} minutes left)`;
  };
  valid.after(left);
  say();
  setInterval(say, 30000);
}

// Somebody else may decide meanwhile.
async function watch() {
  for (let pause = 0; ;) {
    try {
      const reply = await fetch(`${path}/wait`, { credentials: 'same-origin' });
      if (!reply.ok) return;
      const { state } = await reply.json();
      if (state !== card.dataset.state) {
        location.replace(path);
        return;
      }
      pause = 500;
    } catch {
      pause = Math.min(30000, pause * 2 + 1000);
    }
    await new Promise((r) => { setTimeout(r, pause); });
  }
}
if (card?.dataset.state === 'pending') watch();

// From the right to the whole internet: the steps as they are now, until all of them are done.
const ladder = document.querySelector('#ladder');
function row(step) {
  const li = document.createElement('li'), state = document.createElement('b');
  li.dataset.state = state.textContent = step.state;
  li.append(state, ` ${step.step}: ${step.text ?? ''}`);
  if (step.state !== 'ok' && step.fix) {
    const fix = document.createElement('span');
    fix.className = 'dim';
    fix.textContent = ` ${step.fix}`;
    li.append(fix);
  }
  return li;
}
async function climb() {
  const end = Date.now() + 600000;
  for (let ready = false; !ready && Date.now() < end;) {
    await new Promise((r) => { setTimeout(r, 1500); });
    try {
      const reply = await fetch(`${path}/ladder`, { credentials: 'same-origin' });
      if (!reply.ok) return;
      const now = await reply.json();
      ready = now.ready;
      if (now.readiness.length) ladder.replaceChildren(...now.readiness.map(row));
    } catch {
      // the next turn asks again
    }
  }
}
if (ladder) climb();
