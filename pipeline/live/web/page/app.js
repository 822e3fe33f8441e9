// Connects the page: one WebSocket per page, made again whenever it goes.

import { FragmentPlayer, UnitDecoder, bestWay } from './decoders.js';
import { Controls, showCameras, showStatus, span } from './panel.js';
import { Picture, dividerOf } from './picture.js';

const WHICH = ['clean', 'original'];
const HEADER = 10; // number of the picture, flags, pts in µs
const KEY = 1;
const SILENT_MS = 5000; // a status comes twice a second
const RETRY_MS = [300, 600, 1000, 2000, 3000];
const GONE = 1001;
const NO_SUCH_CAMERA = 4004;
const FULL = 4013;

const element = (id) => document.getElementById(id);

/** The camera that an address names, empty for none. */
function cameraOf(hash) {
  try {
    return decodeURIComponent(hash.slice(1));
  } catch {
    return ''; // somebody shortened the address within an escape
  }
}

class Page {
  constructor(way) {
    this.way = way;
    this.picture = new Picture(element('picture'));
    this.controls = new Controls((name, value) => this.set(name, value));
    this.decoders = [];
    this.socket = null;
    this.camera = cameraOf(location.hash);
    this.tries = 0;
    this.ended = false;
    this.wishes = 0;
    this.counted = { frames: 0, ms: performance.now() };
    dividerOf(element('stage'), element('divider'), (share) => this.picture.divide(share));
    document.addEventListener('visibilitychange', () => this.look());
    window.addEventListener('hashchange', () => this.choose(cameraOf(location.hash)));
    setInterval(() => this.everySecond(), 1000);
    this.connect();
  }

  connect() {
    clearTimeout(this.retry);
    const query = new URLSearchParams({ way: this.way });
    if (this.camera) query.set('camera', this.camera);
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}/socket?${query}`);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.heardMs = performance.now();
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return;
      this.heardMs = performance.now();
      if (typeof data === 'string') this.hear(JSON.parse(data));
      else this.feed(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.socket === socket) this.lost(code, reason);
    };
  }

  /** Close on this side and go on as if the server had. */
  drop(code) {
    const socket = this.socket;
    this.lost(code, '');
    socket?.close();
  }

  lost(code, reason) {
    this.socket = null;
    this.freeDecoders();
    this.picture.clear();
    this.controls.enable(false);
    element('stage').classList.add('stale');
    document.body.classList.add('lost');
    showLink('offline', 'not connected');
    if (code === NO_SUCH_CAMERA) {
      this.camera = '';
      notify('There is no camera of that name; this shows the first one.');
    } else if (code === FULL) {
      notify(`All ${reason} places are taken; this page tries again by itself.`);
    } else {
      this.ended ||= code === GONE;
      notify(this.ended
        ? 'demoire has ended. This page goes on by itself when it is back.'
        : 'The connection is lost. This page goes on by itself when demoire answers again.');
      this.askWhy();
    }
    const wait = RETRY_MS[Math.min(this.tries, RETRY_MS.length - 1)];
    this.tries += 1;
    this.retry = setTimeout(() => this.connect(), wait);
  }

  /** A WebSocket does not tell that it was refused; the page itself does. */
  async askWhy() {
    const answer = await fetch('/', { method: 'HEAD' }).catch(() => null);
    if (answer?.status === 403 && this.socket?.readyState !== WebSocket.OPEN) {
      notify('The key of this page is no longer valid: open the address that demoire printed.');
    }
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Ask for a change; returns the number of the wish, 0 when nobody is there to hear it. */
  set(name, value) {
    if (this.socket?.readyState !== WebSocket.OPEN) return 0;
    this.wishes += 1;
    this.send({ type: 'set', id: this.wishes, name, value });
    return this.wishes;
  }

  /** Take pictures only while somebody can see them. */
  look() {
    const on = !document.hidden;
    if (!on) this.picture.clear();
    this.send({ type: 'look', on });
  }

  hear(message) {
    if (message.type === 'hello') this.welcome(message);
    else if (message.type === 'track') this.track(message);
    else if (message.type === 'done') this.controls.done(message.id);
    else if (message.type === 'refused') this.controls.refuse(message.id, message.message);
    else if (message.type === 'status') {
      showStatus(message.status);
      this.controls.show(message.control);
      showCameras(message.cameras, this.camera, (name) => this.choose(name));
      element('after').textContent = message.control.bypass ? 'bypassed' : 'cleaned';
    }
  }

  welcome({ camera, width, height }) {
    this.ended = false;
    this.camera = camera;
    document.title = `${camera} – demoire live`;
    this.picture.resize(width, height);
    element('stage').style.setProperty('--ratio', `${width} / ${height}`);
    this.freeDecoders();
    this.decoders = this.makeDecoders();
    this.controls.enable(true);
    showLink('online', 'connected');
    element('notice').hidden = true;
    document.body.classList.remove('lost');
    this.look();
  }

  makeDecoders() {
    const decoders = [];
    for (const which of WHICH) {
      decoders.push(new (this.way === 'units' ? UnitDecoder : FragmentPlayer)({
        onFrame: (frame) => this.show(which, frame),
        onUnable: (codec) => notify(unable(codec)),
        onBroken: () => this.drop(0),
        askKey: () => this.send({ type: 'key' }),
        leader: decoders[0],
      }));
    }
    return decoders;
  }

  freeDecoders() {
    for (const decoder of this.decoders) decoder.close();
    this.decoders = [];
  }

  track({ which, codec }) {
    this.decoders[WHICH.indexOf(which)]?.track(codec);
  }

  feed(data) {
    const view = new DataView(data);
    const pts = Number(view.getBigInt64(2));
    const isKey = (view.getUint8(1) & KEY) !== 0;
    this.decoders[view.getUint8(0)]?.feed(new Uint8Array(data, HEADER), pts, isKey);
  }

  show(which, frame) {
    if (document.hidden) {
      frame.close();
      return;
    }
    this.picture.add(which, frame);
    if (which !== 'clean') return;
    this.tries = 0; // not before: a picture that always fails must not be asked for without a pause
    element('stage').classList.remove('stale');
    element('veil').hidden = true;
  }

  choose(name) {
    if (name === this.camera || !name) return;
    this.camera = name;
    history.replaceState(null, '', `#${encodeURIComponent(name)}`);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.freeDecoders();
    this.picture.clear();
    element('stage').classList.add('stale');
    this.connect();
  }

  everySecond() {
    const now = performance.now();
    const fps = ((this.picture.count - this.counted.frames) * 1000) / (now - this.counted.ms);
    this.counted = { frames: this.picture.count, ms: now };
    const way = this.way === 'units' ? 'WebCodecs' : 'MediaSource';
    element('page').textContent = `${fps.toFixed(0)} fps, ${way}`;
    if (this.socket === null) return;
    const silentMs = now - this.heardMs;
    if (silentMs > SILENT_MS) {
      this.drop(0);
      notify(`demoire has said nothing for ${span(silentMs / 1000)}; trying again.`);
    }
  }
}

function showLink(state, text) {
  element('link').dataset.state = state;
  element('link').textContent = text;
}

function notify(text) {
  element('notice').textContent = text;
  element('notice').hidden = false;
}

function unable(codec) {
  return codec.startsWith('avc1')
    ? `This browser cannot show H.264 (${codec}). Chromium, Chrome, Edge, Safari and Firefox can.`
    : `This browser cannot show HEVC (${codec}); let demoire encode H.264 instead.`;
}

/** The token has become a cookie; in the address it would end up in bookmarks. */
function hideToken() {
  const address = new URL(location.href);
  if (!address.searchParams.has('token')) return;
  address.searchParams.delete('token');
  history.replaceState(null, '', address);
}

hideToken();
const way = bestWay();
if (way === null) {
  showLink('offline', 'cannot show video');
  element('veil').textContent = 'No way to show video here';
  notify('This browser has neither WebCodecs nor MediaSource. Open this page in a current Chromium,'
    + ' Chrome, Edge, Safari or Firefox, or watch the RTSP stream in a player such as VLC.');
} else {
  new Page(way);
}
