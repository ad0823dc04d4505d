"use strict";
// Draws what the page holds. Colours are those of the pictures: observed, calculated, background, difference.
const COLOUR = { observed: "#1a1a1a", calculated: "#D55E00", baseline: "#009E73", difference: "#0072B2", grey: "#8c8c8c" };
// more points than this are drawn as a line, which stays quick
const MANY = 2500;
const FONT = { family: "system-ui, sans-serif", size: 13 };
const OPTIONS = { responsive: true, displaylogo: false, scrollZoom: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
const settings = {};
let failed = 0;
window.addEventListener("error", () => { document.body.dataset.errors = ++failed; });
window.addEventListener("unhandledrejection", () => { document.body.dataset.errors = ++failed; });

async function unpacked(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function element(tag, parent, text, cls) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (cls) made.className = cls;
  parent.append(made);
  return made;
}

// a line without a stroke across what was left out
function gapped(curve, values) {
  if (!curve.breaks.length) return { x: curve.x, y: values };
  const x = [], y = [];
  let next = 0;
  values.forEach((value, k) => {
    if (k === curve.breaks[next]) { x.push(curve.x[k]); y.push(null); next += 1; }
    x.push(curve.x[k]); y.push(value);
  });
  return { x, y };
}

function seen(curve, div) {
  const range = div && div.layout && div.layout.xaxis && div.layout.xaxis.range;
  if (!range) return curve.x.length;
  const [low, high] = [Math.min(...range), Math.max(...range)];
  return curve.x.reduce((n, x) => n + (x >= low && x <= high), 0);
}

const observedMode = (curve, div) => (seen(curve, div) > MANY ? "lines" : "markers");

function tracesOf(curve, chosen, div) {
  const at = `%{x:.4f} ${curve.unit}: %{y:.6g}`;
  const line = (name, y, colour, more) => ({
    type: "scatter", mode: "lines", name, ...gapped(curve, y), line: { color: colour, width: 1.4 }, hovertemplate: `${at}<extra>${name}</extra>`, ...more,
  });
  const traces = [
    { type: "scatter", mode: observedMode(curve, div), name: "observed", x: curve.x, y: curve.observed, hovertemplate: `${at}<extra>observed</extra>`,
      marker: { color: COLOUR.observed, size: 3.5 }, line: { color: COLOUR.observed, width: 0.9 } },
    line("calculated", curve.calculated, COLOUR.calculated),
  ];
  const base = (k) => (curve.baseline ? curve.baseline[k] : 0);
  if (curve.baseline) traces.push(line(curve.baseline_name, curve.baseline, COLOUR.baseline, { line: { color: COLOUR.baseline, width: 1.3, dash: "dash" } }));
  for (const part of curve.parts)
    traces.push(line(part.name, part.y.map((v, k) => v + base(k)), part.colour, { line: { color: part.colour, width: 1.1, dash: "dot" } }));
  const relative = chosen.relative;
  const difference = curve.observed.map((v, k) => (v - curve.calculated[k]) / (relative ? curve.sigma[k] : 1));
  traces.push(line("difference", difference, COLOUR.difference, { yaxis: "y3", line: { color: COLOUR.difference, width: 1 } }));
  curve.phases.forEach((phase, k) => traces.push({
    type: "scatter", mode: "markers", name: phase.name, yaxis: "y2", x: phase.x, y: phase.x.map(() => -k),
    marker: { symbol: "line-ns", size: 11, line: { color: phase.colour, width: 1.3 }, color: phase.colour },
    customdata: phase.x.map((_, j) => [phase.hkl[j], phase.d[j], phase.observed[j], phase.calculated[j], phase.m[j]]),
    hovertemplate: "<b>%{customdata[0]}</b><br>2θ %{x:.4f}°<br>d %{customdata[1]} Å<br>F² observed %{customdata[2]}<br>F² calculated %{customdata[3]}" +
      `<br>multiplicity %{customdata[4]}<extra>${phase.name}</extra>`,
  }));
  return traces;
}

function layoutOf(curve, chosen) {
  const rows = curve.phases.length, ticks = rows ? 0.035 + 0.028 * rows : 0, low = 0.22;
  const plain = { zeroline: false, showline: true, mirror: true, linecolor: "#888", ticks: "inside" };
  return {
    font: FONT, margin: { l: 75, r: 15, t: 8, b: 45 }, hovermode: "closest", uirevision: curve.name, dragmode: "zoom",
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    xaxis: { ...plain, title: { text: curve.axis }, anchor: "y3", autorange: curve.left ? "reversed" : true },
    yaxis: { ...plain, title: { text: curve.ordinate || "" }, domain: [low + ticks + 0.02, 1], type: chosen.log ? "log" : "linear", automargin: true,
      exponentformat: Math.max(...curve.observed) < 1e6 ? "none" : "SI" },
    yaxis2: { domain: [low + 0.01, low + ticks + 0.012], visible: false, fixedrange: true, range: [-rows + 0.3, 0.7] },
    yaxis3: { ...plain, domain: [0, low], zeroline: true, zerolinecolor: COLOUR.grey, title: { text: chosen.relative ? "Δ / σ" : "Δ" }, nticks: 5 },
    shapes: curve.excluded.map(([x0, x1]) => ({ type: "rect", xref: "x", yref: "paper", x0, x1, y0: 0, y1: 1, fillcolor: "#dddddd", opacity: 0.6, line: { width: 0 }, layer: "below" })),
  };
}

function toggle(parent, text, of, key, redraw) {
  const made = element("button", parent, text);
  made.setAttribute("aria-pressed", Boolean(of[key]));
  made.addEventListener("click", () => { of[key] = !of[key]; made.setAttribute("aria-pressed", of[key]); redraw(); });
}

function place(id, cls, heading, more, hint) {
  const known = document.getElementById(id);
  if (known) {
    document.getElementById(`${id}-more`).textContent = more;
    return [known, null];
  }
  const section = element("section", document.getElementById("plots"));
  const title = element("h2", section, heading);
  element("small", title, more).id = `${id}-more`;
  const bar = element("div", section);
  if (hint) element("p", section, hint, "hint");
  const div = element("div", section, undefined, cls);
  div.id = id;
  return [div, bar];
}

async function drawCurve(curve, k) {
  const [div, bar] = place(`curve-${k}`, "curve", curve.heading, curve.agreement, "Drag to zoom, double click for all; click a name to hide it.");
  const chosen = settings[k] || (settings[k] = {});
  div.curve = curve;
  const draw = () => Plotly.react(div, tracesOf(div.curve, chosen, div), layoutOf(div.curve, chosen), OPTIONS);
  if (bar) {
    toggle(bar, "logarithmic", chosen, "log", draw);
    toggle(bar, "difference / σ", chosen, "relative", draw);
  }
  await draw();
  if (bar) div.on("plotly_relayout", () => {
    const mode = observedMode(div.curve, div);
    if (div.data[0].mode !== mode) Plotly.restyle(div, { mode }, [0]);
  });
}

// vertices and faces of a sphere: a halved octahedron, again and again
function sphere(times) {
  let points = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]];
  let faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]];
  for (let round = 0; round < times; round += 1) {
    const middle = new Map(), finer = [];
    const between = (a, b) => {
      const key = a < b ? `${a},${b}` : `${b},${a}`;
      if (!middle.has(key)) {
        const sum = points[a].map((v, i) => v + points[b][i]), length = Math.hypot(...sum);
        middle.set(key, points.push(sum.map((v) => v / length)) - 1);
      }
      return middle.get(key);
    };
    for (const [a, b, c] of faces) {
      const ab = between(a, b), bc = between(b, c), ca = between(c, a);
      finer.push([a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]);
    }
    faces = finer;
  }
  return { points, faces };
}

// a colour where a surface is turned to the light, 1, or away from it, -1
function shaded(colour, light) {
  const part = 0.55 + 0.45 * Math.max(light, -0.3), shine = 90 * Math.max(light - 0.8, 0) / 0.2;
  const [r, g, b] = [1, 3, 5].map((k) => Math.round(Math.min(255, part * parseInt(colour.slice(k, k + 2), 16) + shine)));
  return `rgb(${r},${g},${b})`;
}

function drawCell(cell, k) {
  const [div] = place(`cell-${k}`, "cell", cell.title, "", "Drag to turn, scroll to zoom; click an element to hide it.");
  const ball = sphere(cell.atoms.length > 250 ? 1 : cell.atoms.length > 80 ? 2 : 3), traces = [];
  for (const [name, [colour, radius]] of Object.entries(cell.elements)) {
    const atoms = cell.atoms.filter((atom) => atom.element === name);
    const mesh = { x: [], y: [], z: [], i: [], j: [], k: [], vertexcolor: [] };
    const shades = ball.points.map((p) => shaded(colour, 0.35 * p[0] - 0.62 * p[1] + 0.7 * p[2]));
    for (const atom of atoms) {
      const start = mesh.x.length, size = 0.38 * radius + 0.12;
      for (const p of ball.points) { mesh.x.push(atom.at[0] + size * p[0]); mesh.y.push(atom.at[1] + size * p[1]); mesh.z.push(atom.at[2] + size * p[2]); }
      mesh.vertexcolor.push(...shades);
      for (const f of ball.faces) { mesh.i.push(start + f[0]); mesh.j.push(start + f[1]); mesh.k.push(start + f[2]); }
    }
    traces.push({ type: "mesh3d", name, legendgroup: name, showlegend: true, color: colour, hoverinfo: "skip", ...mesh,
      // shaded here: what is drawn as light depends on the browser
      lighting: { ambient: 1, diffuse: 0, specular: 0, fresnel: 0 } });
    traces.push({ type: "scatter3d", mode: "markers", legendgroup: name, showlegend: false, name, x: atoms.map((a) => a.at[0]), y: atoms.map((a) => a.at[1]),
      z: atoms.map((a) => a.at[2]), marker: { size: 14, opacity: 0.01, color: colour }, customdata: atoms.map((a) => [a.label, a.xyz.join(", "), a.occupancy, a.u]),
      hovertemplate: "<b>%{customdata[0]}</b><br>%{customdata[1]}<br>occupancy %{customdata[2]}<br>U %{customdata[3]} Å²<extra></extra>" });
  }
  const lines = (pairs, style, name) => {
    const of = { type: "scatter3d", mode: "lines", name, hoverinfo: "skip", x: [], y: [], z: [], line: style };
    for (const [a, b] of pairs) { of.x.push(a[0], b[0], null); of.y.push(a[1], b[1], null); of.z.push(a[2], b[2], null); }
    traces.push(of);
  };
  lines(cell.bonds.map(([a, b]) => [cell.atoms[a].at, cell.atoms[b].at]), { color: "#777777", width: 6 }, "bonds");
  const corner = (n) => [0, 1, 2].map((x) => cell.lattice.reduce((sum, row, i) => sum + n[i] * row[x], 0)), edges = [];
  for (const i of [0, 1]) for (const j of [0, 1])
    edges.push([corner([0, i, j]), corner([1, i, j])], [corner([i, 0, j]), corner([i, 1, j])], [corner([i, j, 0]), corner([i, j, 1])]);
  lines(edges, { color: "#222222", width: 2 }, "cell");
  const ends = [[1.04, 0, 0], [0, 1.04, 0], [0, 0, 1.04]].map(corner);
  traces.push({ type: "scatter3d", mode: "text", showlegend: false, hoverinfo: "skip", text: ["a", "b", "c"], x: ends.map((e) => e[0]), y: ends.map((e) => e[1]), z: ends.map((e) => e[2]) });
  const axis = { visible: false };
  const scene = { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "data", dragmode: "orbit", camera: { projection: { type: "orthographic" }, eye: { x: 0.8, y: -1.2, z: 0.45 } } };
  return Plotly.react(div, traces, { font: FONT, scene, margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: cell.name, legend: { itemsizing: "constant", y: 0.9 } }, OPTIONS);
}

function drawCourse(course) {
  if (!course.length) return null;
  const kept = course.filter((s) => s.accepted), last = course[course.length - 1];
  const [div] = place("course", "course", "Course of the refinement", `stage '${last.stage}', step ${last.step}`);
  const text = kept.map((s) => s.stage);
  const traces = [{ type: "scatter", mode: "lines+markers", name: "χ²", x: kept.map((s) => s.step), y: kept.map((s) => s.chi2), text, line: { color: COLOUR.difference },
    hovertemplate: "step %{x}, %{text}: %{y:.6g}<extra>χ²</extra>" }];
  const names = new Map();
  for (const s of kept) for (const [term, factor, value] of s.factors) {
    const key = `${factor} ${term}`;
    if (!names.has(key)) names.set(key, { x: [], y: [] });
    names.get(key).x.push(s.step); names.get(key).y.push(value);
  }
  for (const [name, of] of names) traces.push({ type: "scatter", mode: "lines+markers", name: `${name} / %`, yaxis: "y2", ...of, hovertemplate: `step %{x}: %{y:.3f} %<extra>${name}</extra>` });
  const layout = { font: FONT, margin: { l: 75, r: 75, t: 8, b: 45 }, uirevision: "course", hovermode: "closest", legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    xaxis: { title: { text: "step" } }, yaxis: { title: { text: "χ²" }, type: "log", exponentformat: "power" }, yaxis2: { title: { text: "R / %" }, overlaying: "y", side: "right", showgrid: false, tickmode: "auto", nticks: 6 } };
  return Plotly.react(div, traces, layout, OPTIONS);
}

async function draw(content) {
  document.getElementById("summary").textContent = content.summary;
  const list = document.getElementById("warnings");
  list.replaceChildren();
  for (const sentence of content.warnings) element("li", list, sentence);
  for (const [k, curve] of content.curves.entries()) await drawCurve(curve, k);
  for (const [k, cell] of content.cells.entries()) await drawCell(cell, k);
  await drawCourse(content.course);
  document.body.dataset.plots = document.querySelectorAll(".js-plotly-plot .main-svg:first-child").length;
}

// a page that is being written asks a script beside it for what is new: files may not read one another in any other way
let newest = 0;
window.jaxnmrLive = (number, content) => {
  if (number === null) { location.replace("report.html"); return; }
  if (number !== newest) { newest = number; draw(content); }
};
function ask() {
  const script = document.createElement("script");
  script.src = `live.js?${Date.now()}`;
  script.onload = script.onerror = () => { script.remove(); setTimeout(ask, 2000); };
  document.head.append(script);
}

(async () => {
  const library = document.createElement("script");
  library.textContent = await unpacked("library");
  document.head.append(library);
  await draw(JSON.parse(await unpacked("content")));
  if (document.documentElement.dataset.live) ask();
})();
