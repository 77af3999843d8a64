// A case in three planes: NiiVue displays the image; this script draws label maps and prompts on top.
const data = JSON.parse(document.getElementById("data").textContent);
const stage = document.getElementById("stage");
const state = document.getElementById("state");
const marks = document.getElementById("marks");
const pen = marks.getContext("2d");
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3], [14, 5], [1, 6]];
// For axial, coronal and sagittal slices: the axis perpendicular to the slice, and the two axes within it.
const PLANES = [[2, 0, 1], [1, 0, 2], [0, 1, 2]];
const [NX, NY, NZ] = data.shape;
const STEPS = [1, NX, NX * NY];
const hidden = new Set();
const outlines = new Map();
let viewer;

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

function box(label, checked, change) {
  const input = element("input", { type: "checkbox", checked, ariaLabel: label });
  input.addEventListener("change", () => { change(input.checked); paint(); });
  return input;
}

// The position on the canvas of one tile of a point in the volume, given in voxel edges (x, y, z).
function onTile(tile, point) {
  const frac = point.map((each, axis) => each / data.shape[axis]);
  const mm = viewer.frac2mm(frac);
  const [, u, v] = PLANES[tile.axCorSag];
  const [left, top, width, height] = tile.leftTopWidthHeight;
  const across = (mm[u] - tile.leftTopMM[0]) / tile.fovMM[0];
  const up = (mm[v] - tile.leftTopMM[1]) / tile.fovMM[1];
  // NiiVue marks a mirrored tile by a negative width.
  return [left + across * width, top + (1 - up) * height];
}

// The matrix from a slice's (u, v) to the canvas.
function matrix(tile, slice) {
  const [cut, u, v] = PLANES[tile.axCorSag];
  const at = (a, b) => {
    const point = [0, 0, 0];
    point[cut] = slice + 0.5;
    point[u] = a;
    point[v] = b;
    return onTile(tile, point);
  };
  const [zero, one, two] = [at(0, 0), at(1, 0), at(0, 1)];
  return [one[0] - zero[0], one[1] - zero[1], two[0] - zero[0], two[1] - zero[1], ...zero];
}

function sliceOf(tile) {
  const [cut] = PLANES[tile.axCorSag];
  const frac = viewer.scene.crosshairPos[cut];
  return Math.min(data.shape[cut] - 1, Math.max(0, Math.floor(frac * data.shape[cut])));
}

// Edges [a, b, c, d] as one path; connected edges are drawn in one stroke, so that dashes are continuous.
function chained(edges, width) {
  const ends = new Map();
  const key = (a, b) => b * (width + 1) + a;
  const link = (from, to, edge) => {
    if (!ends.has(from)) ends.set(from, []);
    ends.get(from).push([to, edge]);
  };
  edges.forEach(([a, b, c, d], number) => {
    link(key(a, b), key(c, d), number);
    link(key(c, d), key(a, b), number);
  });
  const path = new Path2D();
  const done = new Set();
  edges.forEach(([a, b], number) => {
    if (done.has(number)) return;
    let at = key(a, b);
    path.moveTo(a, b);
    for (;;) {
      const next = ends.get(at).find(([, edge]) => !done.has(edge));
      if (!next) break;
      done.add(next[1]);
      at = next[0];
      path.lineTo(at % (width + 1), Math.floor(at / (width + 1)));
    }
  });
  return path;
}

// The edges between voxels of each class, as a path in the slice's (u, v).
function outline(layer, tile, slice) {
  const key = [layer.number, tile.axCorSag, slice].join();
  if (outlines.has(key)) return outlines.get(key);
  const [cut, u, v] = PLANES[tile.axCorSag];
  const [nu, nv] = [data.shape[u], data.shape[v]];
  const start = slice * STEPS[cut];
  const at = (a, b) => (a < 0 || b < 0 || a >= nu || b >= nv ? 0 : layer.voxels[start + a * STEPS[u] + b * STEPS[v]]);
  const edges = new Map();
  const edge = (k, ...ends) => {
    if (!k) return;
    if (!edges.has(k)) edges.set(k, []);
    edges.get(k).push(ends);
  };
  for (let b = 0; b <= nv; b++) {
    for (let a = 0; a <= nu; a++) {
      const here = at(a, b);
      const left = at(a - 1, b);
      const below = at(a, b - 1);
      if (here !== left) for (const k of [here, left]) edge(k, a, b, a, b + 1);
      if (here !== below) for (const k of [here, below]) edge(k, a, b, a + 1, b);
    }
  }
  const paths = new Map([...edges].map(([k, each]) => [k, chained(each, nu)]));
  if (outlines.size > 400) outlines.clear();
  outlines.set(key, paths);
  return paths;
}

function contour(layer, tile, slice) {
  const transform = new DOMMatrix(matrix(tile, slice));
  pen.lineWidth = 1.6 * devicePixelRatio;
  pen.setLineDash(layer.dash.map((each) => each * devicePixelRatio));
  for (const [k, path] of outline(layer, tile, slice)) {
    if (hidden.has(k)) continue;
    const placed = new Path2D();
    placed.addPath(path, transform);
    pen.strokeStyle = data.classes[k].colour;
    pen.stroke(placed);
  }
  pen.setLineDash([]);
}

function fill(layer, tile, slice) {
  const [cut, u, v] = PLANES[tile.axCorSag];
  const [nu, nv] = [data.shape[u], data.shape[v]];
  const picture = new ImageData(nu, nv);
  const pixels = new DataView(picture.data.buffer);
  const colours = data.classes.map(({ rgb: [r, g, b] }, k) => (k && !hidden.has(k) ? ((r << 24) | (g << 16) | (b << 8) | 255) >>> 0 : 0));
  for (let b = 0; b < nv; b++) {
    for (let a = 0; a < nu; a++) {
      const k = layer.voxels[slice * STEPS[cut] + a * STEPS[u] + b * STEPS[v]];
      if (k) pixels.setUint32(4 * (b * nu + a), colours[k]);
    }
  }
  const sheet = new OffscreenCanvas(nu, nv);
  sheet.getContext("2d").putImageData(picture, 0, 0);
  pen.save();
  pen.globalAlpha = Number(document.getElementById("opacity").value);
  pen.imageSmoothingEnabled = false;
  pen.transform(...matrix(tile, slice));
  pen.drawImage(sheet, 0, 0);
  pen.restore();
}

// Prompts are in axial slices of the network; other planes show where they intersect these.
function prompts(asked, tile, slice) {
  const [cut, u, v] = PLANES[tile.axCorSag];
  const size = devicePixelRatio;
  const m = matrix(tile, slice);
  const place = (a, b) => [m[0] * a + m[2] * b + m[4], m[1] * a + m[3] * b + m[5]];
  pen.lineWidth = 1.4 * size;
  for (const [k, low, high] of asked.showBoxes ? asked.boxes : []) {
    if (hidden.has(k) || slice < Math.floor(low[cut] + 0.5) || slice > Math.floor(high[cut] + 0.5)) continue;
    const [a, b] = place(low[u], low[v]);
    const [c, d] = place(high[u] + 1, high[v] + 1);
    pen.strokeStyle = data.classes[k].colour;
    pen.strokeRect(Math.min(a, c), Math.min(b, d), Math.abs(c - a), Math.abs(d - b));
  }
  for (const [k, at] of asked.showPoints ? asked.points : []) {
    if (hidden.has(k) || slice !== Math.floor(at[cut] + 0.5)) continue;
    const [x, y] = place(at[u] + 0.5, at[v] + 0.5);
    pen.beginPath();
    pen.arc(x, y, 4 * size, 0, 2 * Math.PI);
    pen.fillStyle = data.classes[k].colour;
    pen.fill();
    pen.strokeStyle = "#fff";
    pen.stroke();
  }
}

// The lines of intersection with the other planes; NiiVue's own lines are as thick as a voxel.
function crosshair(tile) {
  const [x, y] = onTile(tile, data.shape.map((size, axis) => viewer.scene.crosshairPos[axis] * size));
  const [left, top, width, height] = tile.leftTopWidthHeight;
  pen.lineWidth = devicePixelRatio;
  pen.strokeStyle = "rgb(255 255 255 / 45%)";
  pen.beginPath();
  pen.moveTo(left, y);
  pen.lineTo(left + width, y);
  pen.moveTo(x, top);
  pen.lineTo(x, top + height);
  pen.stroke();
}

function paint() {
  if (!viewer) return;
  const source = viewer.gl.canvas;
  if (marks.width !== source.width || marks.height !== source.height) {
    [marks.width, marks.height] = [source.width, source.height];
  }
  pen.clearRect(0, 0, marks.width, marks.height);
  for (const tile of viewer.screenSlices.filter((each) => each.axCorSag <= 2)) {
    const slice = sliceOf(tile);
    const [left, top, width, height] = tile.leftTopWidthHeight;
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    crosshair(tile);
    for (const layer of data.layers) if (layer.showFill) fill(layer, tile, slice);
    for (const layer of data.layers) if (layer.showContour) contour(layer, tile, slice);
    for (const asked of data.prompts) prompts(asked, tile, slice);
    pen.restore();
  }
  const at = data.shape.map((size, axis) => Math.min(size - 1, Math.floor(viewer.scene.crosshairPos[axis] * size)));
  const here = at[0] + at[1] * STEPS[1] + at[2] * STEPS[2];
  const file = [0, 0, 0];
  data.axes.forEach((axis, turned) => { file[axis] = data.flips[turned] ? data.shape[turned] - 1 - at[turned] : at[turned]; });
  const named = data.layers.map((layer) => `${layer.name}: ${data.classes[layer.voxels[here]].name}`);
  const value = Number(viewer.volumes[0].getValue(...at).toPrecision(4));
  document.getElementById("place").textContent = [`Voxel of the file ${file.join(", ")}: ${value}`, ...named].join(" · ");
}

function controls() {
  for (const [number, layer] of data.layers.entries()) {
    layer.number = number;
    layer.dash = DASHES[number % DASHES.length];
    layer.showContour = layer.shown;
    layer.showFill = false;
    const line = `<svg width="40" height="4"><path d="M0 2h40" stroke="#fff" stroke-width="2" stroke-dasharray="${layer.dash.join(" ")}"/></svg>`;
    const name = element("td", {}, layer.name);
    name.insertAdjacentHTML("beforeend", line);
    document.querySelector("#layers tbody").append(element("tr", {}, name,
      element("td", {}, box(`contour of ${layer.name}`, layer.shown, (on) => { layer.showContour = on; })),
      element("td", {}, box(`fill of ${layer.name}`, false, (on) => { layer.showFill = on; }))));
  }
  for (const [k, each] of data.classes.entries()) {
    if (!k) continue;
    const swatch = element("i");
    swatch.style.background = each.colour;
    document.getElementById("classes").append(element("label", {},
      box(each.name, true, (on) => { if (on) hidden.delete(k); else hidden.add(k); }), swatch, each.name));
  }
  document.getElementById("asked").hidden = !data.prompts.length;
  for (const asked of data.prompts) {
    asked.showPoints = asked.showBoxes = false;
    document.querySelector("#prompts tbody").append(element("tr", {}, element("td", {}, asked.name),
      element("td", {}, box(`points of ${asked.name}`, false, (on) => { asked.showPoints = on; })),
      element("td", {}, box(`boxes of ${asked.name}`, false, (on) => { asked.showBoxes = on; }))));
  }
  document.getElementById("opacity").addEventListener("input", paint);
  const planes = [["All planes", 3], ["Axial", 0], ["Coronal", 1], ["Sagittal", 2]];
  for (const [name, type] of planes) {
    const button = element("button", { textContent: name, ariaPressed: String(type === 3) });
    button.addEventListener("click", () => {
      for (const each of button.parentElement.children) each.ariaPressed = String(each === button);
      viewer.setSliceType(type);
    });
    document.getElementById("planes").append(button);
  }
}

async function start() {
  const code = await unpacked(document.getElementById("library").textContent);
  const { Niivue } = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  for (const layer of data.layers) {
    const voxels = await unpacked(layer.voxels);
    layer.voxels = data.wide ? new Uint16Array(voxels) : new Uint8Array(voxels);
  }
  controls();
  const made = new Niivue({ show3Dcrosshair: false, multiplanarShowRender: 0, isRadiologicalConvention: true,
    crosshairWidth: 0, isNearestInterpolation: true, loadingText: "", dragAndDropEnabled: false, isResizeCanvas: true });
  await made.attachToCanvas(document.getElementById("volume"));
  const draw = made.drawScene.bind(made);
  made.drawScene = (...given) => { const drawn = draw(...given); paint(); return drawn; };
  await made.loadFromArrayBuffer(await unpacked(data.image), "case.nii");
  made.volumes[0].cal_min = data.window[0];
  made.volumes[0].cal_max = data.window[1];
  made.updateGLVolume();
  viewer = made;
  made.setSliceType(3);
  made.scene.crosshairPos = data.start.map((each, axis) => (each + 0.5) / data.shape[axis]);
  made.drawScene();
  state.hidden = true;
  state.style.display = "none";
  document.body.dataset.ready = "yes";
}

start().catch((error) => { state.textContent = `This browser cannot show the case: ${String(error.message ?? error).replace(/\.$/, "")}. A current Chrome, Edge, Firefox or Safari with WebGL 2 can.`; });
