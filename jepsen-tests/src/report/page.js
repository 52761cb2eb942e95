"use strict";
// Draws rates, latencies and clients over one shared stretch of time.
const data = JSON.parse(document.getElementById("data").textContent);
// Each operation: row, start, end or null, outcome, name, value, number.
const [ROW, START, END, KIND, NAME, VALUE, NUMBER] = [0, 1, 2, 3, 4, 5, 6];
const KINDS = ["ok", "fail", "info"];
const marked = new Set(data.marked);
const whole = [0, Math.max(data.end, 1e-6)];
let view = whole.slice();
const left = 56, right = 12, top_ = 10, bottom = 24;

const style = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const canvas = id => document.getElementById(id);
canvas("clients").height = Math.max(80, Math.min(1200, data.rows * 18 + top_ + bottom));
if (data.total > data.ops.length) {
  canvas("cut").textContent = `The first ${data.ops.length} of ${data.total} operations are drawn.`;
}

function begin(id) {
  const element = canvas(id), scale = window.devicePixelRatio || 1;
  element.cssHeight = element.cssHeight || element.height;
  const width = element.clientWidth, height = element.cssHeight;
  element.style.height = height + "px";
  element.width = width * scale; element.height = height * scale;
  const pen = element.getContext("2d");
  pen.scale(scale, scale);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, sans-serif";
  const x = time => left + (time - view[0]) / (view[1] - view[0]) * (width - left - right);
  const plot = {pen, width, height, x, base: height - bottom, isNamed: id === "rate"};
  faults(plot); axis(plot);
  return plot;
}

function faults({pen, width, x, base, isNamed}) {
  let free = 0;
  for (const fault of data.faults) {
    const from = Math.max(left, x(fault.from));
    const to = Math.min(width - right, fault.to === null ? from + 2 : x(fault.to));
    if (to < left || from > width - right) continue;
    pen.fillStyle = style(fault.to === null ? "mark" : "fault");
    pen.fillRect(from, top_, Math.max(2, to - from), base - top_);
    // Names that would lie upon each other are left out: zooming in shows them.
    if (isNamed && from >= free) {
      pen.fillStyle = style("mark"); pen.textAlign = "left"; pen.textBaseline = "top";
      pen.fillText(fault.name, from + 4, top_ + 3);
      free = from + 12 + pen.measureText(fault.name).width;
    }
  }
}

function step(span, parts) {
  const rough = span / parts, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find(times => times * power >= rough) * power;
}

function axis({pen, width, x, base}) {
  pen.strokeStyle = style("line"); pen.fillStyle = style("faint");
  pen.textAlign = "center"; pen.textBaseline = "top";
  const by = step(view[1] - view[0], 8);
  for (let time = Math.ceil(view[0] / by) * by; time <= view[1]; time += by) {
    pen.beginPath(); pen.moveTo(x(time), base); pen.lineTo(x(time), base + 4); pen.stroke();
    pen.fillText(`${+time.toPrecision(6)} ${data.unit}`, x(time), base + 6);
  }
  pen.beginPath(); pen.moveTo(left, base + .5); pen.lineTo(width - right, base + .5); pen.stroke();
}

function grid({pen, width}, y, text) {
  pen.strokeStyle = style("line"); pen.fillStyle = style("faint");
  pen.beginPath(); pen.moveTo(left, Math.round(y) + .5); pen.lineTo(width - right, Math.round(y) + .5); pen.stroke();
  pen.textAlign = "right"; pen.textBaseline = "middle"; pen.fillText(text, left - 6, y);
}

function drawRate() {
  const plot = begin("rate"), {pen, x, base} = plot;
  const buckets = Math.max(10, Math.min(240, Math.floor(plot.width / 5)));
  const width = (view[1] - view[0]) / buckets;
  const counts = KINDS.map(() => new Float64Array(buckets));
  for (const op of data.ops) {
    const at = Math.floor(((op[END] ?? op[START]) - view[0]) / width);
    if (at >= 0 && at < buckets) counts[op[KIND]][at] += 1 / width;
  }
  const most = Math.max(1, ...counts.map(each => Math.max(...each)));
  const y = rate => base - rate / most * (base - top_ - 16);
  const by = step(most, 4);
  for (let rate = 0; rate <= most; rate += by) grid(plot, y(rate), +rate.toPrecision(4));
  counts.forEach((each, kind) => {
    if (!each.some(count => count > 0)) return;
    pen.strokeStyle = style(KINDS[kind]); pen.lineWidth = 1.6; pen.beginPath();
    each.forEach((count, at) => pen.lineTo(x(view[0] + (at + .5) * width), y(count)));
    pen.stroke(); pen.lineWidth = 1;
  });
}

let latencies = [];
function drawLatency() {
  const plot = begin("latency"), {pen, x, base} = plot;
  const isTimed = data.unit === "s", unit = isTimed ? 1e-6 : 1;
  const all = data.ops.filter(op => op[END] !== null).map(op => Math.max(op[END] - op[START], unit));
  const low = Math.log10(all.reduce((a, b) => Math.min(a, b), 1e9) || unit);
  const high = Math.max(low + 1, Math.log10(all.reduce((a, b) => Math.max(a, b), unit)));
  const y = length => base - (Math.log10(length) - low) / (high - low) * (base - top_ - 6);
  for (let power = Math.ceil(low); power <= high; power++) {
    const length = 10 ** power;
    const text = !isTimed ? length : length < 1e-3 ? `${+(length * 1e6).toPrecision(3)} µs`
      : length < 1 ? `${+(length * 1e3).toPrecision(3)} ms` : `${length} s`;
    grid(plot, y(length), text);
  }
  latencies = [];
  for (const op of data.ops) {
    if (op[END] === null || op[END] < view[0] || op[START] > view[1]) continue;
    const at = [x(op[START]), y(Math.max(op[END] - op[START], unit))];
    if (at[0] < left) continue;
    pen.fillStyle = style(KINDS[op[KIND]]); pen.globalAlpha = .6;
    pen.fillRect(at[0] - 1.5, at[1] - 1.5, 3, 3); pen.globalAlpha = 1;
    latencies.push([at, op]);
  }
}

let boxes = [];
function drawClients() {
  const plot = begin("clients"), {pen, x, base, width} = plot;
  const height = (base - top_) / Math.max(1, data.rows);
  boxes = [];
  pen.fillStyle = style("faint"); pen.textAlign = "right"; pen.textBaseline = "middle";
  if (height > 9) for (let row = 0; row < data.rows; row++) pen.fillText(row, left - 6, top_ + (row + .5) * height);
  pen.textAlign = "left";
  for (const op of data.ops) {
    const end = op[END] ?? whole[1];
    if (end < view[0] || op[START] > view[1]) continue;
    const from = Math.max(left, x(op[START])), to = Math.min(width - right, Math.max(x(end), from + 1.5));
    const box = [from, top_ + op[ROW] * height + 1, to - from, Math.max(1, height - 2)];
    pen.fillStyle = style(KINDS[op[KIND]]); pen.globalAlpha = op[KIND] === 2 ? .35 : .8;
    pen.fillRect(...box); pen.globalAlpha = 1;
    if (marked.has(op[NUMBER])) { pen.strokeStyle = style("mark"); pen.lineWidth = 2; pen.strokeRect(...box); pen.lineWidth = 1; }
    if (box[2] > 60 && height > 13) {
      pen.save(); pen.beginPath(); pen.rect(...box); pen.clip();
      pen.fillStyle = "#fff"; pen.fillText(`${op[NAME]} ${op[VALUE]}`, from + 4, box[1] + box[3] / 2); pen.restore();
    }
    boxes.push([box, op]);
  }
}

let isWaiting = false;
function draw() {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => { isWaiting = false; drawRate(); drawLatency(); drawClients(); });
}

function look(from, to) {
  const length = Math.min(Math.max(to - from, (whole[1] - whole[0]) * 1e-6), whole[1] - whole[0]);
  from = Math.min(Math.max(from, whole[0]), whole[1] - length);
  view = [from, from + length];
  draw();
}

const tip = canvas("tip");
function show(event, op) {
  tip.hidden = !op;
  if (!op) return;
  const length = op[END] === null ? "never answered"
    : data.unit === "s" ? `${((op[END] - op[START]) * 1e3).toPrecision(4)} ms` : "";
  tip.textContent = `${op[NUMBER]} ${op[NAME]} ${op[VALUE]}\n${KINDS[op[KIND]]} ${length}`;
  tip.style.left = Math.min(event.clientX + 14, innerWidth - 320) + "px";
  tip.style.top = event.clientY + 14 + "px";
}

for (const id of ["rate", "latency", "clients"]) {
  const element = canvas(id);
  const timeAt = event => {
    const box = element.getBoundingClientRect();
    return view[0] + (event.clientX - box.left - left) / (box.width - left - right) * (view[1] - view[0]);
  };
  element.addEventListener("wheel", event => {
    event.preventDefault();
    const time = timeAt(event), times = Math.exp(event.deltaY * .0015);
    look(time - (time - view[0]) * times, time + (view[1] - time) * times);
  }, {passive: false});
  let held = null;
  element.addEventListener("pointerdown", event => { held = timeAt(event); element.setPointerCapture(event.pointerId); });
  element.addEventListener("pointerup", () => { held = null; });
  element.addEventListener("pointerleave", event => show(event, null));
  element.addEventListener("dblclick", () => look(...whole));
  element.addEventListener("pointermove", event => {
    if (held !== null) { const by = held - timeAt(event); look(view[0] + by, view[1] + by); return; }
    const box = element.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    let hit = null;
    if (id === "clients") hit = boxes.findLast(([b]) => px >= b[0] - 1 && px <= b[0] + b[2] + 1 && py >= b[1] && py <= b[1] + b[3]);
    if (id === "latency") hit = latencies.find(([at]) => Math.hypot(at[0] - px, at[1] - py) < 5);
    show(event, hit && hit[1]);
  });
}

for (const link of document.querySelectorAll("a[data-op]")) {
  link.addEventListener("click", () => {
    const op = data.ops.find(op => op[NUMBER] === +link.dataset.op);
    if (!op) return;
    const length = Math.max(((op[END] ?? whole[1]) - op[START]) * 12, (whole[1] - whole[0]) * 1e-3);
    look(op[START] - length / 2, op[START] + length / 2);
  });
}
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
