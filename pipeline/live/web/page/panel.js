// Figures and controls: shows what is really in force and sends what somebody wishes.

const SEND_MS = 50; // a slider that is dragged sends no more often
const element = (id) => document.getElementById(id);

function write(id, text) {
  const target = element(id);
  if (target.textContent !== text) target.textContent = text;
}

const number = (value, digits = 1) => (Number.isFinite(value) ? value.toFixed(digits) : '–');
const count = (value) => (Number.isFinite(value) ? Math.round(value).toLocaleString('en') : '–');
const milliseconds = (value) => (Number.isFinite(value) ? `${Math.round(value)} ms` : '–');

/** Seconds in words: 12 s, 3 min 20 s, 5 h 12 min. */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

const listed = (counts) => {
  const entries = Object.entries(counts);
  return entries.length ? entries.map(([name, value]) => `${name} ${count(value)}`).join(' · ') : '–';
};

export function showStatus(status) {
  write('state', `${status.state} for ${span(status.state_s)}`);
  element('source').dataset.state = status.state;
  write('address', status.source);
  write('error', status.error);
  element('held').hidden = status.state === 'online';
  write('held', `${status.state} for ${span(status.state_s)}`);
  write('fps', number(status.fps_out));
  write('fps-in', number(status.fps_in));
  write('delay', milliseconds(status.delay_ms));
  write('delay-p99', milliseconds(status.delay_p99_ms));
  write('step', status.steps ? `${status.step} (${count(status.steps)} changes)` : status.step);
  write('queues', listed(status.queues));
  write('dropped', count(status.dropped));
  write('repeated', count(status.repeated));
  write('reconnects', count(status.reconnects));
  write('uptime', span(status.uptime_s));
  write('encoder', status.encoder || '–');
  write('viewers', listed(status.viewers));
  showMoire(status.moire_before, status.moire_after);
}

function showMoire(before, after) {
  const known = Number.isFinite(before) && Number.isFinite(after);
  write('moire-before', number(before, 2));
  write('moire-after', number(after, 2));
  const most = Math.max(before || 0, after || 0, 0.01);
  element('moire-before-bar').value = (before || 0) / most;
  element('moire-after-bar').value = (after || 0) / most;
  const less = known && before > 0 ? Math.round((1 - after / before) * 100) : null;
  const words = less < 0 ? `${-less} % more` : `${less} % less`;
  write('moire-change', less === null ? 'not measured yet' : words);
}

/** The controls. `send(name, value)` asks the server and returns the number of the wish. */
export class Controls {
  constructor(send) {
    this.send = send;
    this.timers = new Map();
    this.wishes = new Map(); // the last wish by name, until the server has answered it
    this.refused = null;
    element('strength').addEventListener('input', (event) => {
      this.soon('strength', () => event.target.valueAsNumber);
    });
    element('bypass').addEventListener('click', () => {
      this.wish('bypass', element('bypass').getAttribute('aria-checked') !== 'true');
    });
    for (const choice of this.choices()) {
      choice.addEventListener('change', () => this.wish('smoothing', this.smoothing()));
    }
    element('seconds').addEventListener('input', () => {
      this.choices().find((choice) => choice.value === 'seconds').checked = true;
      this.soon('smoothing', () => this.smoothing());
    });
  }

  choices() {
    return [...document.querySelectorAll('input[name="smoothing"]')];
  }

  smoothing() {
    const chosen = this.choices().find((choice) => choice.checked)?.value ?? 'auto';
    return chosen === 'seconds' ? element('seconds').valueAsNumber : chosen;
  }

  /** Send the value that holds then, at most once in a while. */
  soon(name, read) {
    if (this.timers.has(name)) return;
    this.wishes.set(name, Infinity); // nothing the server says moves it until that is sent
    const send = () => {
      this.timers.delete(name);
      this.wish(name, read());
    };
    this.timers.set(name, setTimeout(send, SEND_MS));
  }

  wish(name, value) {
    const id = this.send(name, value);
    if (id) this.wishes.set(name, id);
    else this.wishes.delete(name);
  }

  /** The server has done what was wished. */
  done(id) {
    this.settle(id);
    element('refusal').hidden = true;
  }

  /** The server has not, and says why. */
  refuse(id, message) {
    this.settle(id);
    write('refusal', message);
    element('refusal').hidden = false;
  }

  settle(id) {
    for (const [name, wished] of this.wishes) if (wished === id) this.wishes.delete(name);
  }

  enable(on) {
    for (const id of ['strength', 'smoothing', 'bypass']) element(id).disabled = !on;
    if (on) return;
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
    this.wishes.clear();
  }

  /** Show what is in force, except where somebody here is just changing it. */
  show({ strength, smoothing, bypass }) {
    const seconds = Number.isFinite(smoothing);
    write('strength-now', `${Math.round(strength * 100)} %`);
    write('smoothing-now', seconds ? `${smoothing} s` : String(smoothing));
    write('bypass-now', bypass ? 'on' : 'off');
    element('bypass').setAttribute('aria-checked', String(bypass === true));
    if (!this.wishes.has('strength')) element('strength').value = String(strength);
    if (this.wishes.has('smoothing')) return;
    for (const choice of this.choices()) {
      choice.checked = choice.value === (seconds ? 'seconds' : smoothing);
    }
    if (seconds && document.activeElement !== element('seconds')) {
      element('seconds').value = String(smoothing);
    }
  }
}

/** The switcher; `choose(name)` is called with the camera that somebody picks. */
export function showCameras(cameras, current, choose) {
  const bar = element('cameras');
  bar.hidden = cameras.length < 2;
  if (bar.children.length !== cameras.length) {
    bar.replaceChildren(...cameras.map(({ name }) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.dataset.name = name;
      const dot = document.createElement('span');
      dot.className = 'dot';
      button.append(dot, name);
      button.addEventListener('click', () => choose(name));
      return button;
    }));
  }
  cameras.forEach(({ name, state }, index) => {
    const button = bar.children[index];
    button.dataset.state = state;
    button.title = state;
    button.setAttribute('aria-pressed', String(name === current));
  });
}
