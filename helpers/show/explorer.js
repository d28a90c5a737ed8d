// A map that shows the images themselves: dots from afar, pictures from near.
//
// explorer.py puts this file into a page together with all that it reads: the element #payload
// (JSON: names, colours, arrays in base64) and the elements .sheet (JPEG sprite sheets in base64,
// decoded when they first come into sight). Nothing is ever fetched. Names reach the page through
// textContent alone, so they show as they are written.
"use strict";

const STYLE = `
:root { --back: #ffffff; --ink: #23282d; --soft: #5b636b; --line: #cfd5da; --field: #f4f6f7;
  --dim: #e3e7ea; --ring: #111111; --accent: #1f5fd0; color-scheme: light; }
:root[data-theme=dark] { --back: #16191d; --ink: #e9edf0; --soft: #a4adb5; --line: #434b53;
  --field: #22272c; --dim: #2f353b; --ring: #ffffff; --accent: #8ab4ff; color-scheme: dark; }
* { box-sizing: border-box; }
html, body { height: 100%; margin: 0; }
body { display: flex; flex-direction: column; background: var(--back); color: var(--ink);
  font: 14px/1.35 "DejaVu Sans", system-ui, sans-serif; }
h1 { font-size: 15px; margin: 8px 10px 0; }
header > div, #filters > div, footer { display: flex; flex-wrap: wrap; gap: 6px 9px;
  align-items: center; }
header > div { padding: 8px 10px; }
label { display: inline-flex; gap: 5px; align-items: center; color: var(--soft); }
select, input[type=search], button { font: inherit; color: var(--ink); background: var(--field);
  border: 1px solid var(--line); border-radius: 5px; padding: 3px 7px; min-height: 30px; }
select { max-width: 108px; }
button, summary { cursor: pointer; }
#search { width: 150px; }
input[type=range] { accent-color: var(--accent); width: 64px; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
main { flex: 1; display: flex; min-height: 0; border: solid var(--line); border-width: 1px 0; }
#stage { position: relative; flex: 1; min-width: 0; overflow: hidden; }
canvas { display: block; }
#stage > canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
#over { cursor: crosshair; touch-action: pan-y; }
#over:focus { touch-action: none; }
#over:focus-visible { outline-offset: -3px; }
aside { width: 256px; overflow: auto; padding: 10px; border-left: 1px solid var(--line); }
#card { min-height: 246px; }
#card .picture { float: left; margin: 0 10px 6px 0; border: 3px solid; border-radius: 3px; }
#card p { margin: 0 0 3px; overflow-wrap: anywhere; }
#card .picture ~ .hint { clear: left; }
#card .hint, #status { color: var(--soft); }
#near { display: flex; flex-wrap: wrap; gap: 5px; clear: left; }
.image { padding: 0; min-height: 0; border: 3px solid; border-radius: 3px; line-height: 0; }
#legend { list-style: none; margin: 12px 0 0; padding: 0; }
#legend li { display: flex; gap: 7px; align-items: center; overflow-wrap: anywhere; }
#legend i { flex: none; width: 12px; height: 12px; border-radius: 50%; }
#matrix { position: absolute; inset: 0; display: flex; gap: 8px 14px; padding: 8px 10px;
  background: var(--back); }
#matrix [aria-pressed=true], #confusion[aria-expanded=true] { box-shadow: 0 0 0 2px var(--ink); }
#rows { overflow: auto; min-height: 0; padding: 0 4px 4px 0; scroll-padding: 104px 8px 8px 98px; }
#rows table { border-spacing: 2px; font-size: 12px; font-variant-numeric: tabular-nums; }
caption { text-align: left; white-space: nowrap; color: var(--soft); }
th { position: sticky; top: 0; left: 0; padding: 0 4px; font-weight: normal; color: var(--soft);
  background: var(--back); }
th.on { color: var(--ink); font-weight: bold; }
thead th { z-index: 1; vertical-align: bottom; }
thead th:first-child { z-index: 2; }
th span { display: block; max-width: 88px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; text-align: right; }
thead span { writing-mode: vertical-rl; rotate: 180deg; max-height: 96px; margin: auto;
  text-align: left; }
td { padding: 0; }
td button { display: block; width: 100%; min-width: 30px; min-height: 28px; padding: 0 3px; }
#gallery { flex: 1 0 200px; overflow: auto; overflow-wrap: anywhere; }
#shots { display: flex; flex-wrap: wrap; gap: 4px; padding: 6px 4px; }
.counting #legend { display: none; }
footer { padding: 6px 10px; }
#time { flex: 1; }
#time input { flex: 1; min-width: 90px; max-width: 420px; }
#time output { min-width: 48px; color: var(--ink); }
#status { margin-left: auto; }
[hidden] { display: none !important; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media (min-width: 721px) { #filters summary { display: none; } #filters { display: contents; } }
@media (max-width: 720px) {
  main { flex-direction: column; }
  header > div { padding: 6px 8px; gap: 6px 8px; }
  #filters[open] { width: 100%; }
  #filters > div { padding-top: 6px; }
  summary { padding: 4px; color: var(--soft); }
  #search { width: 118px; }
  #stage { min-height: 200px; }
  #matrix { flex-direction: column; }
  #gallery { flex: none; }
  #shots { flex-wrap: nowrap; overflow: auto; }
  aside { width: auto; flex: none; max-height: 46%; padding: 6px 8px; border: solid var(--line);
    border-width: 1px 0 0; }
  #card { min-height: 104px; }
  #card p { margin: 0; }
  #card .picture ~ .hint, #near { clear: none; }
  #legend { display: flex; flex-wrap: wrap; gap: 0 12px; margin-top: 6px; max-height: 60px;
    overflow: auto; }
  .counting aside { height: 160px; }
}`;

const MARKUP = `
<header><h1 id="title"></h1><div>
  <label>Colour <select id="colour"></select></label>
  <label>Search <input id="search" type="search" placeholder="class or number"></label>
  <button id="fit" type="button">Whole map</button>
  <button id="confusion" type="button" aria-expanded="false">Confusion matrix</button>
  <button id="theme" type="button"></button>
  <details id="filters"><summary>Filters</summary><div>
    <label>Class <select id="label"></select></label>
    <label>Predicted <select id="predicted"></select></label>
    <label>Outcome <select id="outcome"><option value="">any<option value="1">right
      <option value="0">wrong</select></label>
    <label>Confidence <input id="low" type="range" min="0" max="100" value="0"
      aria-label="Confidence from, percent"> to <input id="high" type="range" min="0" max="100"
      value="100" aria-label="Confidence to, percent"> <output id="range"></output></label>
    <button id="clear" type="button">Clear</button>
  </div></details>
</div></header>
<main>
  <div id="stage"><canvas id="map"></canvas><canvas id="over" tabindex="0" role="application"
    aria-label="Map of images. Arrows: next image in that direction. Plus and minus: zoom.
    Shift with arrows: move. Enter: the nearest images. 0: the whole map. Escape: none."></canvas>
    <div id="matrix" hidden><div id="rows"><table role="grid"><caption>True class in rows,
      predicted in columns</caption></table></div><div id="gallery" role="group"
      aria-labelledby="cell"><span id="cell"></span>
      <button id="all" type="button">Show all</button>
      <div id="shots"></div></div></div>
  </div>
  <aside aria-label="Image and legend"><div id="card"></div><ul id="legend"></ul></aside>
</main>
<footer><label id="time">Epoch <input id="epoch" type="range" min="0"><output></output></label>
  <span id="status" role="status"></span></footer>
<div id="said" class="unseen" aria-live="polite"></div>`;

const FROM_THUMB = 12, LARGEST_THUMB = 64, NEAREST = 360; // sides and spacing, in CSS pixels
const REACH = 14, MOST_STEPS = 128, MOVING = 350;
const MOST_ROWS = 30, MOST_SHOTS = 60, DEEPEST = 120; // of the confusion matrix; of 255
const SPACE = "\u00a0";
const HINT = "Point at an image, or tap it. Drag to move, turn the wheel to zoom (in a notebook, "
  + "click first). Keys: arrows, + and \u2212, Shift with arrows, Enter, 0, Escape.";

// ---- What the page holds ----

function bytes(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text); // newer browsers, and faster
  const raw = atob(text), out = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) out[k] = raw.charCodeAt(k);
  return out;
}

// An array of `rows` rows; what holds at all epochs has one row.
function unpack({ type, rows, data }) {
  const Kind = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array }[type];
  const all = new Kind(bytes(data).buffer), length = all.length / rows;
  return Array.from({ length: rows }, (_, row) => all.subarray(row * length, (row + 1) * length));
}

const element = (id) => document.getElementById(id);

function make(tag, properties, ...inside) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
}

const payload = JSON.parse(element("payload").textContent);
const { names, tile } = payload;
const series = Object.fromEntries(
  Object.entries(payload.arrays).map(([name, array]) => [name, unpack(array)]));
const count = series.x[0].length, nearestOf = payload.neighbours;
const texts = [...document.querySelectorAll(".sheet")];

let epoch = payload.epochs.length - 1;
const now = (name) => series[name][Math.min(epoch, series[name].length - 1)];

const sheets = [];
const loading = [];

// The promise of a sprite sheet, which is kept in `sheets` as soon as it is there.
function sheet(number) {
  loading[number] ??= createImageBitmap(
    new Blob([bytes(texts[number].textContent)], { type: "image/jpeg" })
  ).then((bitmap) => { sheets[number] = bitmap; ask(thumbSide() ? "map" : "over"); });
  return loading[number];
}

// Draw image i; false where its sheet is still to come.
function picture(context, i, x, y, width, height) {
  const number = Math.floor(i / tile.each), slot = i % tile.each;
  if (!sheets[number]) { sheet(number); return false; }
  const column = slot % tile.columns, row = Math.floor(slot / tile.columns);
  context.imageSmoothingEnabled = width < 2 * tile.width; // else pixels stay square
  context.drawImage(sheets[number], column * tile.side, row * tile.side, tile.width, tile.height,
    x, y, width, height);
  return true;
}

// ---- Where things are ----

document.head.append(make("style", { textContent: STYLE }));
document.body.insertAdjacentHTML("beforeend", MARKUP);
const stage = element("stage"), over = element("over");
const context = element("map").getContext("2d", { alpha: false });
const above = over.getContext("2d");

let wide = 1, tall = 1, density = 1; // CSS pixels of the stage, device pixels in one
let drawing = context.createImageData(1, 1), ink = new Uint32Array(drawing.data.buffer);
let spacing = 0.01, closest = 0.01; // of neighbouring dots that are kept, and of all; map units
const view = { x: 0.5, y: 0.5, scale: 1 };
const px = new Float32Array(count), py = new Float32Array(count);
const shape = Math.max(tile.width, tile.height);

const placeOf = (i) => [(px[i] - view.x) * view.scale + wide / 2,
  (py[i] - view.y) * view.scale + tall / 2];

// How large images are drawn; 0 where they would cover each other.
function thumbSide() {
  const side = Math.min(LARGEST_THUMB, 0.95 * spacing * view.scale);
  return side < FROM_THUMB ? 0 : side;
}

function target(k) {
  const step = 1 / 65535;
  return [series.x[epoch][k] * step, 1 - series.y[epoch][k] * step];
}

// The spacing of `dots` dots if they were spread evenly over the cells of a grid that hold any.
function spacingOf(belongs, dots) {
  const steps = Math.min(MOST_STEPS, Math.ceil(Math.sqrt(Math.max(dots, 1))));
  const held = new Uint8Array(steps * steps);
  for (let i = 0; i < count; i++) {
    if (!belongs(i)) continue;
    const [column, row] = target(i).map((at) => Math.min(steps - 1, Math.floor(at * steps)));
    held[row * steps + column] = 1;
  }
  const cells = held.reduce((sum, one) => sum + one, 0);
  return Math.sqrt(Math.max(cells, 1) / Math.max(dots, 1)) / steps;
}

function fit() {
  let [left, top, right, bottom] = [1, 1, 0, 0];
  for (let i = 0; i < count; i++) {
    const [x, y] = target(i);
    left = Math.min(left, x); right = Math.max(right, x);
    top = Math.min(top, y); bottom = Math.max(bottom, y);
  }
  view.x = (left + right) / 2;
  view.y = (top + bottom) / 2;
  const room = (side, extent) => (side - Math.min(60, side / 4)) / Math.max(extent, 0.02);
  view.scale = Math.min(room(wide, right - left), room(tall, bottom - top));
  ask("map");
}

function zoom(factor, x = wide / 2, y = tall / 2) {
  const least = 0.5 * Math.min(wide, tall), most = Math.max(NEAREST / closest, 4 * least);
  const scale = Math.min(most, Math.max(least, view.scale * factor));
  view.x += (x - wide / 2) * (1 / view.scale - 1 / scale);
  view.y += (y - tall / 2) * (1 / view.scale - 1 / scale);
  view.scale = scale;
  ask("map");
}

function pan(x, y) {
  view.x -= x / view.scale;
  view.y -= y / view.scale;
  ask("map");
}

// ---- What is shown, and in which colour ----

// Whether an image passes every filter, and whether it does so apart from Class and Predicted.
const kept = new Uint8Array(count), counted = new Uint8Array(count);
let code = [], palette = [];

function modes() {
  const list = { class: payload.colours, correctness: payload.outcomes, confidence: payload.ramp };
  return payload.clusters.length ? { ...list, cluster: payload.clusters } : list;
}

function recolour() {
  const mode = element("colour").value, steps = payload.ramp.length;
  palette = modes()[mode];
  if (mode === "class") code = now("label");
  if (mode === "cluster") code = now("cluster");
  if (mode === "correctness") code = now("right");
  if (mode === "confidence") code = now("confidence").map((c) => Math.floor(c * steps / 65536));
  ask("map");
}

function legend() {
  const mode = element("colour").value, last = payload.ramp.length - 1;
  const words = {
    class: names,
    correctness: ["wrong", "right"],
    confidence: payload.ramp.map((_, k) => `${Math.round(100 * k / last)}${SPACE}%`),
    cluster: payload.clusters.map((_, k) => `cluster ${k}`),
  }[mode];
  element("legend").replaceChildren(...words.flatMap((word, k) => {
    if (mode === "confidence" && k % 3) return [];
    return [make("li", {}, make("i", { style: `background: ${palette[k]}` }), word)];
  }));
}

// For each word that is searched: the classes it is part of, or the image it numbers.
function searched() {
  return element("search").value.toLowerCase().split(/\s+/).filter(Boolean).map((word) => ({
    number: /^#?\d+$/.test(word) ? Number(word.replace("#", "")) : -1,
    classes: names.map((name) => name.toLowerCase().includes(word)),
  }));
}

function refilter() {
  const [label, predicted, outcome] = ["label", "predicted", "outcome"]
    .map((id) => element(id).value).map((value) => (value === "" ? -1 : Number(value)));
  const low = element("low").value * 655.35, high = element("high").value * 655.35;
  const words = searched(), confidence = now("confidence"), right = now("right");
  const labels = now("label"), guesses = now("predicted"), numbers = now("number");
  let found = 0;
  for (let i = 0; i < count; i++) {
    counted[i] = (outcome < 0 || right[i] === outcome)
      && confidence[i] >= Math.floor(low) && confidence[i] <= Math.ceil(high)
      && words.every(({ number, classes }) =>
        number === numbers[i] || classes[labels[i]] || classes[guesses[i]]);
    kept[i] = counted[i] && (label < 0 || labels[i] === label)
      && (predicted < 0 || guesses[i] === predicted);
    found += kept[i];
  }
  const sample = payload.total > count
    ? ` in this sample of ${payload.total.toLocaleString("en")}` : "";
  element("range").textContent = `${element("low").value}\u2013${element("high").value}${SPACE}%`;
  element("status").textContent =
    `${found.toLocaleString("en")} of ${count.toLocaleString("en")} images${sample}`;
  spacing = spacingOf((i) => kept[i], found);
  if (hovered >= 0 && !kept[hovered]) hovered = -1;
  if (!panel.hidden) fillMatrix(label, predicted);
  ask("map");
}

function neighboursOf(i) {
  if (!nearestOf) return [];
  const all = series.neighbours[0].subarray(i * nearestOf, (i + 1) * nearestOf);
  return [...all].filter((j) => j < count);
}

// ---- Drawing, only when something changed ----

const timing = { ready: 0, map: 0, hover: 0 }; // ms: until shown, of the last drawing, of the last hover
const stale = new Set();
let asked = 0, moving = null, pointed = 0;

function ask(what) {
  stale.add(what);
  asked ||= requestAnimationFrame(paint);
}

function paint(time) {
  asked = 0;
  const began = performance.now();
  const all = stale.has("map") || moving;
  stale.clear();
  if (moving) move(time);
  if (all) drawMap();
  drawOver();
  if (all) timing.map = performance.now() - began;
  if (pointed) timing.hover = pointed + performance.now() - began;
  pointed = 0;
  timing.ready ||= performance.now();
}

function move(time) {
  moving.start ??= time;
  const part = Math.min(1, (time - moving.start) / moving.lasts), eased = part * part * (3 - 2 * part);
  for (let i = 0; i < count; i++) {
    const [x, y] = target(i);
    px[i] = moving.px[i] + (x - moving.px[i]) * eased;
    py[i] = moving.py[i] + (y - moving.py[i]) * eased;
  }
  if (part < 1) ask("map"); else moving = null;
}

// "#rrggbb" as the bytes R, G, B, A of a pixel.
function packed(colour) {
  const [r, g, b] = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The pixels of a disc: how far from its centre in `ink`, and how much of each it covers (0..256).
function disc(radius) {
  const reach = Math.ceil(radius), offsets = [], covers = [];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const cover = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x, y)));
      if (cover > 0) { offsets.push(y * drawing.width + x); covers.push(Math.round(256 * cover)); }
    }
  }
  return { reach, offsets, covers };
}

// Dots of images that the filter keeps (which = 1) or leaves out (0), into `ink`. Thousands of
// calls of the canvas would take longer than all else together.
function stamp(which, radius, colours) {
  const { reach, offsets, covers } = disc(radius * density), { width, height } = drawing;
  const scale = view.scale * density;
  for (let i = 0; i < count; i++) {
    if (kept[i] !== which) continue;
    const x = Math.round((px[i] - view.x) * scale + width / 2);
    const y = Math.round((py[i] - view.y) * scale + height / 2);
    if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
    const colour = colours.length > 1 ? colours[code[i]] : colours[0], centre = y * width + x;
    for (let k = 0; k < offsets.length; k++) {
      const at = centre + offsets[k];
      ink[at] = covers[k] === 256 ? colour : blend(ink[at], colour, covers[k]);
    }
  }
}

function blend(under, colour, cover) {
  const left = 256 - cover;
  const redBlue = ((colour & 0xff00ff) * cover + (under & 0xff00ff) * left) >>> 8;
  const green = ((colour & 0xff00) * cover + (under & 0xff00) * left) >>> 8;
  return (0xff000000 | (redBlue & 0xff00ff) | (green & 0xff00)) >>> 0;
}

function drawMap() {
  const side = thumbSide(), radius = Math.min(4.5, Math.max(1.3, 0.4 * spacing * view.scale));
  ink.fill(packed(themed("--back")));
  stamp(0, Math.min(radius, 2.5), [packed(themed("--dim"))]);
  // The second entry keeps a palette of one colour from being taken for a fixed one.
  if (!side) stamp(1, radius, [...palette.map(packed), 0]);
  context.putImageData(drawing, 0, 0);
  if (side) drawThumbs(side * density);
}

// Where a picture of that side lies: x, y, width, height in device pixels.
function boxOf(i, side) {
  const [x, y] = placeOf(i);
  const width = Math.round(side * tile.width / shape), height = Math.round(side * tile.height / shape);
  return [Math.round(x * density - width / 2), Math.round(y * density - height / 2), width, height];
}

function drawThumbs(side) {
  const frame = Math.max(1, Math.round(Math.min(3 * density, side / 14)));
  for (let i = 0; i < count; i++) {
    if (!kept[i]) continue;
    const [x, y, width, height] = boxOf(i, side);
    if (x + width < 0 || y + height < 0 || x > drawing.width || y > drawing.height) continue;
    context.fillStyle = palette[code[i]];
    context.fillRect(x - frame, y - frame, width + 2 * frame, height + 2 * frame);
    picture(context, i, x, y, width, height);
  }
}

function drawOver() {
  above.clearRect(0, 0, over.width, over.height);
  const shown = hovered >= 0 ? hovered : selected;
  if (shown < 0) return;
  above.lineWidth = 1.5 * density;
  above.strokeStyle = above.fillStyle = themed("--ring");
  const [x, y] = placeOf(shown).map((at) => at * density);
  above.beginPath();
  for (const other of neighboursOf(shown)) {
    above.moveTo(x, y);
    above.lineTo(...placeOf(other).map((at) => at * density));
  }
  above.globalAlpha = 0.55;
  above.stroke();
  above.globalAlpha = 1;
  above.lineWidth = 2.5 * density;
  const side = Math.max(34, 1.15 * thumbSide()) * density, box = boxOf(shown, side);
  above.fillRect(...box.map((at, k) => at + (k < 2 ? -2 : 4) * density));
  picture(above, shown, ...box);
}

// ---- The image pointed at, and the one chosen ----

let hovered = -1, selected = -1;

// The image at a place of the stage, or -1.
function pick(x, y) {
  let best = -1, least = Math.max(REACH, 0.6 * thumbSide()) ** 2;
  const mx = (x - wide / 2) / view.scale + view.x, my = (y - tall / 2) / view.scale + view.y;
  least /= view.scale ** 2;
  for (let i = 0; i < count; i++) {
    const away = (px[i] - mx) ** 2 + (py[i] - my) ** 2;
    if (away < least && kept[i]) { best = i; least = away; }
  }
  return best;
}

// The image next to the chosen one (or to the middle) in a direction.
function next(dx, dy) {
  const [x, y] = selected >= 0 ? [px[selected], py[selected]] : [view.x, view.y];
  let best = -1, least = Infinity;
  for (let i = 0; i < count; i++) {
    if (!kept[i] || i === selected) continue;
    const along = (px[i] - x) * dx + (py[i] - y) * dy;
    const aside = Math.abs((px[i] - x) * dy) + Math.abs((py[i] - y) * dx);
    if (selected >= 0 && along <= aside) continue;
    const away = Math.hypot(along, 2 * aside);
    if (away < least) { best = i; least = away; }
  }
  return best;
}

function select(i) {
  selected = i;
  hovered = -1;
  if (i >= 0) reveal(i);
  showCard();
  element("said").textContent = i < 0 ? "No image chosen" : describe(i).join(", ");
  ask("over");
}

function reveal(i) {
  const [x, y] = placeOf(i), edge = 24;
  if (x > edge && y > edge && x < wide - edge && y < tall - edge) return;
  [view.x, view.y] = [px[i], py[i]];
  ask("map");
}

// Go to an image, near enough to see those around it.
function visit(i) {
  view.scale = Math.max(view.scale, 48 / closest);
  [view.x, view.y] = [px[i], py[i]];
  select(i);
  ask("map");
}

function describe(i) {
  const sure = `${(now("confidence")[i] / 655.35).toFixed(1)}${SPACE}%`;
  const rows = [`Image ${now("number")[i]}`, `class ${names[now("label")[i]]}`,
    `predicted ${names[now("predicted")[i]]}`, `${sure}, ${now("right")[i] ? "right" : "wrong"}`];
  return series.cluster ? [...rows, `cluster ${now("cluster")[i]}`] : rows;
}

function portrait(i, side) {
  const canvas = document.createElement("canvas"), pixels = side * Math.ceil(density);
  canvas.width = Math.round(pixels * tile.width / shape);
  canvas.height = Math.round(pixels * tile.height / shape);
  canvas.style.width = `${canvas.width / Math.ceil(density)}px`;
  const draw = () => picture(canvas.getContext("2d"), i, 0, 0, canvas.width, canvas.height);
  if (!draw()) sheet(Math.floor(i / tile.each)).then(draw);
  return canvas;
}

function paragraph(text, kind = "") {
  return make("p", { textContent: text, className: kind });
}

function imageButton(i, side) {
  const button = make("button", { type: "button", className: "image" }, portrait(i, side));
  button.style.borderColor = payload.colours[now("label")[i]];
  button.title = describe(i).join(", ");
  button.setAttribute("aria-label", button.title);
  return button;
}

function neighbourButton(i) {
  const button = imageButton(i, 32);
  button.onclick = () => {
    const place = [...button.parentNode.children].indexOf(button);
    select(i);
    (element("near")?.children[place] ?? home()).focus();
  };
  return button;
}

function showCard() {
  const i = hovered >= 0 ? hovered : selected, card = element("card");
  if (i < 0) return card.replaceChildren(paragraph(HINT, "hint"));
  const large = portrait(i, 96);
  const near = make("div", { id: "near" }, ...neighboursOf(i).map(neighbourButton));
  large.className = "picture";
  large.style.borderColor = payload.colours[now("label")[i]];
  const words = payload.total > count ? "Nearest, where in this sample" : "Nearest images";
  const title = near.children.length ? [paragraph(words, "hint")] : [];
  return card.replaceChildren(large, ...describe(i).map((text) => paragraph(text)), ...title, near);
}

function hover(i) {
  if (i === hovered) return;
  hovered = i;
  showCard();
  ask("over");
}

// ---- Pointer and keys ----

const pointers = new Map();
let travelled = 0;

const framed = window !== window.top;
const placed = (event) => [event.offsetX, event.offsetY];
const spread = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]);
const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];

over.onpointerdown = (event) => {
  over.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, placed(event));
  if (pointers.size === 1) travelled = 0;
};

over.onpointermove = (event) => {
  if (!pointers.has(event.pointerId)) {
    const began = performance.now();
    hover(pick(...placed(event)));
    pointed = asked ? performance.now() - began : 0;
    return;
  }
  const before = [...pointers.values()], [x, y] = pointers.get(event.pointerId);
  pointers.set(event.pointerId, placed(event));
  travelled += Math.hypot(event.offsetX - x, event.offsetY - y);
  const after = [...pointers.values()];
  if (after.length === 2) zoom(spread(after) / Math.max(spread(before), 1), ...middle(after));
  else if (travelled > 4) pan(event.offsetX - x, event.offsetY - y);
};

over.onpointerup = (event) => {
  if (pointers.delete(event.pointerId) && travelled <= 4) select(pick(...placed(event)));
};
over.onpointercancel = (event) => pointers.delete(event.pointerId);
over.onpointerleave = () => hover(-1);

// In a notebook the wheel scrolls the page, until the map has been clicked.
over.addEventListener("wheel", (event) => {
  if (framed && document.activeElement !== over && !event.ctrlKey) return;
  event.preventDefault();
  const lines = event.deltaMode ? 30 : 1;
  zoom(Math.exp(-0.0016 * event.deltaY * lines), ...placed(event));
}, { passive: false });

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

over.onkeydown = (event) => {
  const arrow = ARROWS[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (arrow && event.shiftKey) pan(-80 * arrow[0], -80 * arrow[1]);
  else if (arrow) { const i = next(...arrow); if (i >= 0) select(i); }
  else if (event.key === "+" || event.key === "=") zoom(1.4, ...around());
  else if (event.key === "-") zoom(1 / 1.4, ...around());
  else if (event.key === "0") fit();
  else if (event.key === "Enter") element("near")?.firstChild?.focus();
  else if (event.key === "Escape") select(-1);
  else return;
  event.preventDefault();
};

const around = () => (selected >= 0 ? placeOf(selected) : [wide / 2, tall / 2]);

element("card").onkeydown = (event) => { if (event.key === "Escape") home().focus(); };

// ---- The confusion matrix, in place of the map ----

const panel = element("matrix"), table = panel.querySelector("table");
let cells = [];

// What keys come back to: the map, or an image of the gallery, or a cell of the matrix.
const home = () => (over.hidden ? [...panel.querySelectorAll("[tabindex='0']")].at(-1) : over);

function buildMatrix() {
  const head = (scope) => (name) =>
    make("th", { scope, title: name }, make("span", { textContent: name }));
  const cell = () => make("td", {}, make("button", { tabIndex: -1 }));
  table.createTHead().insertRow().append(make("th"), ...names.map(head("col")));
  const body = table.createTBody();
  for (const name of names) body.insertRow().append(head("row")(name), ...names.map(cell));
  cells = [...table.querySelectorAll("button")];
  cells[0].tabIndex = 0;
  cells.forEach((button, k) => { button.onclick = () => choose(k); });
  roam(table);
  roam(element("shots"));
}

function toggleMatrix(open) {
  panel.hidden = !open;
  over.hidden = open;
  document.body.className = open ? "counting" : "";
  element("confusion").setAttribute("aria-expanded", open);
  refilter();
}

// The Class and Predicted filters choose a cell, or none; they do not thin the counts.
function choose(k) {
  element("label").value = k < 0 ? "" : Math.floor(k / names.length);
  element("predicted").value = k < 0 ? "" : k % names.length;
  refilter();
}

function unchoose() {
  choose(-1);
  home().focus();
}

function fillMatrix(label, predicted) {
  const across = names.length, labels = now("label"), guesses = now("predicted");
  const counts = new Uint32Array(across * across), sums = new Uint32Array(across);
  for (let i = 0; i < count; i++) {
    counts[labels[i] * across + guesses[i]] += counted[i];
    sums[labels[i]] += counted[i];
  }
  cells.forEach((button, k) => {
    const row = Math.floor(k / across), column = k % across;
    const number = counts[k].toLocaleString("en"), noun = counts[k] === 1 ? "image" : "images";
    const depth = Math.round(DEEPEST * Math.sqrt(counts[k] / Math.max(sums[row], 1)));
    button.textContent = number;
    button.ariaLabel = `${number} ${noun} of ${names[row]} predicted as ${names[column]}`;
    button.ariaPressed = row === label && column === predicted;
    button.style.background =
      payload.outcomes[Number(row === column)] + depth.toString(16).padStart(2, "0");
    button.style.color = counts[k] ? "" : "var(--soft)";
  });
  const mark = (scope, at) => table.querySelectorAll(`[scope=${scope}]`)
    .forEach((head, k) => { head.className = k === at ? "on" : ""; });
  mark("row", label);
  mark("col", predicted);
  fillGallery(label < 0 || predicted < 0 ? "" : cells[label * across + predicted].ariaLabel);
}

function fillGallery(words) {
  element("gallery").hidden = !words;
  const found = words ? [...kept.keys()].filter((i) => kept[i]) : [];
  const more = found.length > MOST_SHOTS ? `, the first ${MOST_SHOTS}` : "";
  element("cell").textContent = words + more;
  element("shots").replaceChildren(...found.slice(0, MOST_SHOTS).map((i, k) => {
    const button = imageButton(i, 40);
    button.tabIndex = k ? -1 : 0;
    button.onpointerenter = () => hover(i);
    button.onpointerleave = () => hover(-1);
    button.onclick = button.onfocus = () => select(i);
    return button;
  }));
}

// Buttons in rows are one stop for Tab; arrows move between them.
function roam(box) {
  const all = () => [...box.querySelectorAll("button")];
  box.addEventListener("focusin", (event) => {
    for (const button of all()) button.tabIndex = button === event.target ? 0 : -1;
  });
  box.addEventListener("keydown", (event) => {
    const [dx, dy] = ARROWS[event.key] ?? [0, 0], buttons = all();
    if (!dx && !dy) return;
    const top = (button) => button.getBoundingClientRect().top;
    const across = buttons.filter((button) => top(button) === top(buttons[0])).length;
    const at = buttons.indexOf(event.target), column = at % across + dx;
    if (column >= 0 && column < across) buttons[at + dx + dy * across]?.focus();
    event.preventDefault();
  });
}

panel.onkeydown = (event) => { if (event.key === "Escape") unchoose(); };

// ---- Controls ----

function options(id, words, first) {
  const all = words.map((word, k) => new Option(word, k));
  element(id).replaceChildren(...(first ? [new Option(first, "")] : []), ...all);
}

function setEpoch(value) {
  epoch = value;
  moving = { px: px.slice(), py: py.slice(),
    lasts: matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : MOVING };
  element("time").querySelector("output").textContent = payload.epochs[epoch];
  element("epoch").setAttribute("aria-valuetext", payload.epochs[epoch]);
  closest = spacingOf(() => true, count);
  refilter();
  recolour();
  showCard();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  element("theme").textContent = theme === "dark" ? "Light" : "Dark";
  ask("map");
}

function clearFilters() {
  for (const id of ["search", "label", "predicted", "outcome"]) element(id).value = "";
  element("low").value = 0;
  element("high").value = 100;
  refilter();
}

function resize() {
  const first = wide === 1;
  wide = Math.max(1, stage.clientWidth);
  tall = Math.max(1, stage.clientHeight);
  density = window.devicePixelRatio || 1;
  for (const canvas of [element("map"), over]) {
    canvas.width = Math.round(wide * density);
    canvas.height = Math.round(tall * density);
  }
  drawing = context.createImageData(over.width, over.height);
  ink = new Uint32Array(drawing.data.buffer);
  if (first) fit();
  ask("map");
}

function start() {
  element("title").textContent = payload.title;
  element("title").hidden = !payload.title;
  element("colour").replaceChildren(...Object.keys(modes()).map((mode) => new Option(mode, mode)));
  options("label", names, "any");
  options("predicted", names, "any");
  element("time").hidden = payload.epochs.length < 2;
  element("epoch").max = epoch;
  element("epoch").value = epoch;
  for (const id of ["label", "predicted", "outcome", "low", "high", "search"]) {
    element(id).oninput = refilter;
  }
  element("colour").oninput = () => { recolour(); legend(); };
  element("search").onkeydown = (event) => {
    if (event.key === "Enter" && kept.includes(1)) visit(kept.indexOf(1));
  };
  element("epoch").oninput = (event) => setEpoch(Number(event.target.value));
  element("clear").onclick = clearFilters;
  element("fit").onclick = () => { toggleMatrix(false); fit(); };
  element("confusion").hidden = names.length > MOST_ROWS;
  element("confusion").onclick = () => toggleMatrix(panel.hidden);
  element("all").onclick = unchoose;
  if (names.length <= MOST_ROWS) buildMatrix();
  const dark = matchMedia("(prefers-color-scheme: dark)"), broad = matchMedia("(min-width: 721px)");
  const follow = () => setTheme(dark.matches ? "dark" : "light");
  const unfold = () => { element("filters").open = broad.matches; };
  dark.addEventListener("change", follow);
  broad.addEventListener("change", unfold);
  element("theme").onclick = () =>
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  follow();
  unfold();
  setEpoch(epoch);
  moving = null;
  for (let i = 0; i < count; i++) [px[i], py[i]] = target(i);
  legend();
  new ResizeObserver(resize).observe(stage);
}

start();
