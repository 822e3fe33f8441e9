// Two ways from what the server sends to pictures: WebCodecs, and MediaSource where there is none.

const BEHIND = 30; // units that a decoder may be behind before it starts again
const Source = window.ManagedMediaSource || window.MediaSource;

/** The way this browser can take, null for none. */
export function bestWay() {
  if ('VideoDecoder' in window) return 'units';
  return Source && 'requestVideoFrameCallback' in HTMLVideoElement.prototype ? 'fragments' : null;
}

/** Decodes the units of one picture; calls back with frames, troubles and wishes for a key. */
export class UnitDecoder {
  constructor({ onFrame, onUnable, askKey }) {
    Object.assign(this, { onFrame, onUnable, askKey });
    this.decoder = null;
    this.config = null;
    this.pending = null;
    this.needsKey = true;
  }

  async track(codec) {
    const config = { codec, optimizeForLatency: true };
    const pending = (this.pending = []);
    const answer = await VideoDecoder.isConfigSupported(config).catch(() => ({ supported: false }));
    if (this.pending !== pending) return; // closed, or another track meanwhile
    this.pending = null;
    if (!answer.supported) {
      this.onUnable(codec);
      return;
    }
    this.config = config;
    this.open();
    for (const unit of pending) this.feed(...unit);
  }

  open() {
    this.shut();
    this.needsKey = true;
    this.decoder = new VideoDecoder({
      output: (frame) => this.onFrame({
        pts: frame.timestamp, image: frame, close: () => frame.close(),
      }),
      error: () => this.restart(),
    });
    this.decoder.configure(this.config);
  }

  restart() {
    if (this.config === null) return;
    this.open();
    this.askKey();
  }

  feed(data, pts, isKey) {
    if (this.pending !== null) {
      this.pending.push([data, pts, isKey]);
      return;
    }
    if (this.decoder === null || (this.needsKey && !isKey)) return;
    if (this.decoder.decodeQueueSize > BEHIND) {
      this.restart();
      return;
    }
    this.needsKey = false;
    const type = isKey ? 'key' : 'delta';
    this.decoder.decode(new EncodedVideoChunk({ type, timestamp: pts, data }));
  }

  shut() {
    if (this.decoder !== null && this.decoder.state !== 'closed') this.decoder.close();
    this.decoder = null;
  }

  close() {
    this.pending = null;
    this.config = null;
    this.shut();
  }
}

const EDGE_S = 0.04; // behind the newest unit; fragments claim to last longer than they do
const LATE_S = 0.5; // from here on, jump
const KEEP_S = 8;
const CANVASES = 12;

/** Plays fragments of MP4 in a hidden element and takes its pictures. */
export class FragmentPlayer {
  constructor({ onFrame, onUnable, onBroken, leader }) {
    Object.assign(this, { onFrame, onUnable, onBroken, leader: leader ?? null });
    this.newest = null;
    this.video = null;
    this.buffer = null;
    this.queue = [];
    this.free = [];
    this.timer = null;
  }

  async track(codec) {
    this.close();
    const type = `video/mp4; codecs="${codec}"`;
    if (!Source.isTypeSupported(type)) {
      this.onUnable(codec);
      return;
    }
    const source = new Source();
    const video = document.createElement('video');
    Object.assign(video, { muted: true, playsInline: true, disableRemotePlayback: true });
    const address = URL.createObjectURL(source);
    this.video = video;
    source.addEventListener('sourceopen', () => {
      URL.revokeObjectURL(address);
      if (this.video !== video) return;
      this.buffer = source.addSourceBuffer(type);
      this.buffer.addEventListener('updateend', () => this.append());
      this.append();
    }, { once: true });
    video.addEventListener('error', () => {
      if (this.video === video) this.onBroken();
    });
    video.src = address;
    document.getElementById('players').append(video);
    const seen = (_, { mediaTime }) => {
      if (this.video !== video) return;
      this.take(mediaTime);
      video.requestVideoFrameCallback(seen);
    };
    video.requestVideoFrameCallback(seen);
    this.timer = setInterval(() => this.keepUp(), 100);
  }

  feed(data, pts) {
    if (this.video === null) return;
    this.newest = pts / 1e6; // of the unit that pushed these fragments out
    this.queue.push(data.slice()); // the message it is a part of can go
    this.append();
  }

  append() {
    if (this.buffer === null || this.buffer.updating || this.queue.length === 0) return;
    const total = this.queue.reduce((sum, part) => sum + part.length, 0);
    const joined = new Uint8Array(total);
    let at = 0;
    for (const part of this.queue.splice(0)) {
      joined.set(part, at);
      at += part.length;
    }
    try {
      this.buffer.appendBuffer(joined);
    } catch {
      this.onBroken(); // full, or the element has failed
    }
  }

  /** Stay at the live end, and with the other picture. */
  keepUp() {
    const { video, buffer } = this;
    if (buffer === null || this.newest === null || video.buffered.length === 0) return;
    const start = video.buffered.start(video.buffered.length - 1);
    const aim = this.leader?.video ? this.leader.video.currentTime : this.newest - EDGE_S;
    const late = aim - video.currentTime;
    if (video.currentTime < start || Math.abs(late) > LATE_S) {
      video.currentTime = Math.max(start, aim);
    }
    video.playbackRate = Math.abs(late) < 0.02 ? 1 : late > 0 ? 1.1 : 0.9;
    if (video.paused) video.play().catch(() => {});
    if (!buffer.updating && video.currentTime - video.buffered.start(0) > 2 * KEEP_S) {
      buffer.remove(0, video.currentTime - KEEP_S);
    }
  }

  take(mediaTime) {
    const { videoWidth: width, videoHeight: height } = this.video;
    let canvas = this.free.pop();
    canvas ??= Object.assign(document.createElement('canvas'), { width, height });
    canvas.getContext('2d', { alpha: false }).drawImage(this.video, 0, 0, width, height);
    const close = () => {
      if (this.free.length < CANVASES) this.free.push(canvas);
    };
    // To a tenth of a millisecond: the element keeps times as floating-point numbers.
    this.onFrame({ pts: Math.round(mediaTime * 1e4) * 100, image: canvas, close });
  }

  close() {
    clearInterval(this.timer);
    this.queue.length = 0;
    this.free.length = 0;
    this.buffer = null;
    if (this.video !== null) {
      this.video.removeAttribute('src');
      this.video.load();
      this.video.remove();
      this.video = null;
    }
  }
}
