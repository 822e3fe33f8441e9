// Draws the original left and the cleaned picture right of a divider, both of the same moment.

const QUEUE = 6; // pictures that wait for their partner; a decoder has few to lend
const PARTNER_MS = 400; // without an original for so long, the cleaned picture goes on alone

/** A queue of {pts, image, close()} in the order in which they came. */
class Waiting {
  constructor() {
    this.frames = [];
    this.lastMs = -Infinity;
  }

  add(frame) {
    this.frames.push(frame);
    this.lastMs = performance.now();
    while (this.frames.length > QUEUE) this.frames.shift().close();
  }

  /** Take a picture out and drop all that are older. */
  take(frame) {
    const index = this.frames.indexOf(frame);
    for (const older of this.frames.splice(0, index)) older.close();
    return this.frames.shift();
  }

  newest() {
    return this.frames[this.frames.length - 1];
  }

  clear() {
    for (const frame of this.frames.splice(0)) frame.close();
    this.lastMs = -Infinity;
  }
}

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d', { alpha: false });
    this.waiting = { clean: new Waiting(), original: new Waiting() };
    this.shown = { clean: null, original: null };
    this.divider = 0.5;
    this.count = 0;
    this.dirty = false;
    const tick = () => {
      this.step();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  resize(width, height) {
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
  }

  add(which, frame) {
    this.waiting[which].add(frame);
  }

  /** Forget what waits; what is drawn stays. */
  clear() {
    for (const which of ['clean', 'original']) {
      this.waiting[which].clear();
      this.replace(which, null);
    }
    this.dirty = false;
  }

  divide(share) {
    this.divider = share;
    this.dirty = this.shown.clean !== null;
  }

  replace(which, frame) {
    this.shown[which]?.close();
    this.shown[which] = frame;
  }

  step() {
    if (this.choose()) this.count += 1;
    else if (!this.dirty) return;
    this.draw();
  }

  /** Choose what to show next: the newest pair, or what came alone for too long. */
  choose() {
    const { clean, original } = this.waiting;
    const partner = new Map(original.frames.map((frame) => [frame.pts, frame]));
    for (const frame of [...clean.frames].reverse()) {
      if (!partner.has(frame.pts)) continue;
      this.replace('original', original.take(partner.get(frame.pts)));
      this.replace('clean', clean.take(frame));
      return true;
    }
    const alone = performance.now() - original.lastMs > PARTNER_MS;
    if (clean.frames.length === 0 || !(alone || clean.frames.length >= QUEUE)) return false;
    if (original.frames.length) this.replace('original', original.take(original.newest()));
    else if (alone) this.replace('original', null);
    this.replace('clean', clean.take(clean.newest()));
    return true;
  }

  draw() {
    const { clean, original } = this.shown;
    const { width, height } = this.canvas;
    this.dirty = false;
    if (clean === null) return;
    this.context.drawImage(clean.image, 0, 0, width, height);
    const left = Math.round(this.divider * width);
    if (original !== null && left > 0) {
      this.context.drawImage(original.image, 0, 0, left, height, 0, 0, left, height);
    }
    this.canvas.dataset.frames = String(this.count);
    this.canvas.dataset.pts = `${clean.pts} ${original === null ? 'none' : original.pts}`;
  }
}

const STEPS = {
  ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10,
};

/** Make the divider follow pointers and keys; `onMove` gets the share left of it, 0 to 1. */
export function dividerOf(stage, handle, onMove) {
  let percent = 50;
  const move = (wanted) => {
    percent = Math.min(100, Math.max(0, wanted));
    stage.style.setProperty('--divider', `${percent}%`);
    handle.setAttribute('aria-valuenow', String(Math.round(percent)));
    handle.setAttribute('aria-valuetext', `${Math.round(percent)} % original`);
    onMove(percent / 100);
  };
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    move(((event.clientX - box.left) / box.width) * 100);
  };
  stage.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    stage.classList.add('dragging');
    follow(event);
    handle.focus({ preventScroll: true });
    event.preventDefault();
  });
  stage.addEventListener('pointermove', (event) => {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
  for (const end of ['pointerup', 'pointercancel']) {
    stage.addEventListener(end, () => stage.classList.remove('dragging'));
  }
  handle.addEventListener('keydown', (event) => {
    if (event.key === 'Home') move(0);
    else if (event.key === 'End') move(100);
    else if (event.key in STEPS) move(percent + STEPS[event.key] * (event.shiftKey ? 5 : 1));
    else return;
    event.preventDefault();
  });
  move(percent);
}
