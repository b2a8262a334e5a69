/* The elements that the whole page uses. Texts of models and data sets become text nodes; nothing is ever parsed as HTML. */
"use strict";

const page = JSON.parse(document.getElementById("overview").textContent);
const runs = page.overview.runs;
const groups = page.overview.groups;

/** The runs of a group: agents, best first, then controls. */
const runsOf = (group) =>
  d3.sort(
    group.runs.map((number) => runs[number]),
    (run) => run.control,
    (run) => -run.summary.headline.value,
  );
const groupOf = (number) => groups.find((group) => group.runs.includes(number));
const LEFT_OUT = -1;

// ---- elements ----

/** Make an element. `on...` attributes are listeners; children are nodes or texts; null is left out. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(made.style, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

const percent = (value) => (value === null || value === undefined ? "–" : (100 * value).toFixed(1));
const points = (value) => (value > 0 ? "+" : "") + (100 * value).toFixed(1);
const count = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));
const usd = (value) =>
  value === null || value === undefined ? "–" : value >= 10 ? value.toFixed(2) : value.toPrecision(3);
const seconds = (value) =>
  value === null || value === undefined
    ? "–"
    : value >= 10
      ? value.toFixed(0)
      : value >= 0.001 || !value
        ? value.toPrecision(2)
        : "< 0.001";
const pvalue = (value) => (value < 0.0001 ? "< .0001" : value.toFixed(4).replace(/^0/, ""));
const rangeText = (row) => (row.low === null ? "–" : `${percent(row.low)} to ${percent(row.high)}`);

/** Add a section with its caption to the page, and to the contents. Without content, no section is added. */
function section(id, title, caption, ...content) {
  const inside = content.flat(Infinity).filter(Boolean);
  if (!inside.length) return;
  document.getElementById("contents").append(el("a", { href: `#${id}` }, title));
  document
    .getElementById("main")
    .append(el("section", { id }, el("h2", {}, title), el("p", { class: "caption" }, caption), inside));
}

/** A table that scrolls sideways on its own. Cells are texts or nodes; the first cell of each row is its header. */
function grid(header, rows) {
  const line = (cells) =>
    el(
      "tr",
      {},
      cells.map((cell, at) => (at ? el("td", {}, cell ?? "–") : el("th", { scope: "row" }, cell))),
    );
  return el(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": "Table, scrolls sideways" },
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          header.map((cell) => el("th", { scope: "col" }, cell)),
        ),
      ),
      el("tbody", {}, rows.map(line)),
    ),
  );
}

/** A point with its interval, on a scale from `from` to `to`, with vertical lines at the values `lines`. */
function interval(row, from, to, colour, lines = []) {
  if (row.value === null || row.low === null) return "–";
  const place = (value) => `${(100 * (Math.min(Math.max(value, from), to) - from)) / (to - from)}%`;
  return el(
    "span",
    { class: "range", role: "img", "aria-label": rangeText(row) },
    lines.map((line) => el("i", { class: "line", style: { left: place(line) } })),
    el("i", {
      class: "span",
      style: { left: place(row.low), right: `calc(100% - ${place(row.high)})`, background: colour },
    }),
    el("i", { class: "point", style: { left: place(row.value), background: colour } }),
  );
}

// ---- agents: each has one colour and one symbol on the whole page ----

const agents = [...new Set(runs.filter((run) => !run.control).map((run) => run.name))];
const controls = [...new Set(runs.filter((run) => run.control).map((run) => run.name))];
const symbols = ["circle", "square", "triangle", "diamond", "star", "cross", "wye"];
const hidden = new Set();

function colour(name) {
  const at = agents.indexOf(name);
  return at >= 0 ? `var(--s${at % 8})` : controls.indexOf(name) % 2 ? "var(--control2)" : "var(--control)";
}
const symbol = (name) => symbols[Math.max(agents.indexOf(name), 0) % symbols.length];

/** The mark of an agent in the figures: its symbol, or the dashed line of a control. */
function sign(name) {
  const drawing = d3
    .create("svg")
    .attr("width", 14)
    .attr("height", 14)
    .attr("viewBox", "-7 -7 14 14")
    .attr("aria-hidden", "true");
  if (controls.includes(name))
    drawing
      .append("path")
      .attr("d", "M-7,0H7")
      .attr("stroke-width", 2)
      .attr("stroke-dasharray", "4 2")
      .style("stroke", colour(name));
  else
    drawing
      .append("path")
      .attr("d", d3.symbol(d3[`symbol${symbol(name)[0].toUpperCase()}${symbol(name).slice(1)}`], 80)())
      .style("fill", colour(name));
  return drawing.node();
}
const named = (name) => el("span", { class: "key" }, sign(name), name);
const shown = (run) => !hidden.has(run.name);
