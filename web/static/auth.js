// Passkeys: the browser's part of making one and of signing in with one. Every page works without
// this script; what it adds is hidden until it runs.
const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
const toText = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

async function call(path, body, csrf) {
  const headers = { 'Content-Type': 'application/json' };
  if (csrf) headers['X-Csrf-Token'] = csrf;
  const reply = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), credentials: 'same-origin' });
  const json = await reply.json();
  if (!reply.ok) throw new Error(json.message || 'The server refused.');
  return json;
}

async function signIn(form) {
  const path = form.dataset.passkey;
  const o = await call(path + '/start', {}, form.dataset.csrf);
  const found = await navigator.credentials.get({ publicKey: {
    challenge: toBytes(o.challenge), rpId: o.rpId, userVerification: 'required', timeout: 120000,
    allowCredentials: (o.allow || []).map((id) => ({ type: 'public-key', id: toBytes(id) })),
  } });
  const done = await call(path, {
    id: toText(found.rawId),
    clientData: toText(found.response.clientDataJSON),
    authData: toText(found.response.authenticatorData),
    signature: toText(found.response.signature),
  }, form.dataset.csrf);
  location.assign(done.next);
}

async function enrol(form) {
  const path = form.dataset.enrol;
  const extra = Object.fromEntries(new FormData(form));
  const o = await call(path + '/start', extra, form.dataset.csrf);
  const made = await navigator.credentials.create({ publicKey: {
    challenge: toBytes(o.challenge), rp: { id: o.rpId, name: 'OpenFunnel' }, timeout: 120000, attestation: 'none',
    user: { id: toBytes(o.user.id), name: o.user.name, displayName: o.user.displayName },
    pubKeyCredParams: [-8, -7, -257].map((alg) => ({ type: 'public-key', alg })),
    authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
    excludeCredentials: (o.exclude || []).map((id) => ({ type: 'public-key', id: toBytes(id) })),
  } });
  const done = await call(path, {
    clientData: toText(made.response.clientDataJSON),
    attestation: toText(made.response.attestationObject),
    name: extra.name || '',
  }, form.dataset.csrf);
  if (done.recoveryCodes) showCodes(form, done); else location.assign(done.next);
}

// Shown once, before going on.
function showCodes(form, done) {
  const card = form.closest('.card') || form;
  const add = (parent, name, text) => {
    const element = document.createElement(name);
    if (text) element.textContent = text;
    parent.append(element);
    return element;
  };
  card.replaceChildren();
  add(card, 'h1', 'Keep these codes').tabIndex = -1;
  add(card, 'p', 'Each signs you in once when nothing else does. They are shown only now.');
  const list = add(card, 'ul');
  list.className = 'codes';
  for (const text of done.recoveryCodes) add(add(list, 'li'), 'code', text);
  const link = add(add(card, 'div'), 'a', 'I have saved them');
  link.parentElement.className = 'row';
  link.className = 'button';
  link.href = done.next;
  card.querySelector('h1').focus();
}

function wire(form, act) {
  const say = form.querySelector('[role=status]');
  form.hidden = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    say.textContent = 'Waiting for your passkey …';
    try {
      await act(form);
    } catch (problem) {
      say.textContent = problem.name === 'NotAllowedError' ? 'That was cancelled. Try again.' : problem.message;
    }
  });
}

if (window.PublicKeyCredential) {
  for (const form of document.querySelectorAll('form[data-passkey]')) wire(form, signIn);
  for (const form of document.querySelectorAll('form[data-enrol]')) wire(form, enrol);
}
// The code of a one-time link stands behind "#", so that it is in no log; the form takes it from there.
const code = location.hash.slice(1);
if (code) {
  for (const field of document.querySelectorAll('input[name=code]')) if (!field.value) field.value = code;
  history.replaceState(null, '', location.pathname);
}
