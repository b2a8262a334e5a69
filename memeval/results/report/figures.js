/* The figures. They fill the width of the page, and are drawn again when the width or the selection of agents changes. */
"use strict";

const figures = [];

function figure(title, draw) {
  const room = el("div");
  figures.push(() => {
    const width = Math.max(260, Math.floor(room.clientWidth));
    room.replaceChildren(draw(width));
  });
  return el("figure", { "aria-label": title }, el("h3", {}, title), room);
}

function redraw() {
  for (const draw of figures) draw();
}

/** Buttons that show or hide an agent in all figures. */
function legend() {
  const names = [...agents, ...controls];
  return el(
    "div",
    { class: "legend", role: "group", "aria-label": "Shown in the figures" },
    names.map((name) => {
      const button = el(
        "button",
        {
          type: "button",
          "aria-pressed": "true",
          onclick: () => {
            hidden.has(name) ? hidden.delete(name) : hidden.add(name);
            for (const other of document.querySelectorAll(".legend button")) {
              other.setAttribute("aria-pressed", String(!hidden.has(other.textContent)));
            }
            redraw();
          },
        },
        sign(name),
        name,
      );
      return button;
    }),
  );
}

const scoreAxis = { label: "score in percent", domain: [0, 100], percent: true, grid: true, ticks: 5 };
const short = d3.format("~s");
const common = (width, more) => ({
  width,
  height: Math.min(320, Math.max(240, width * 0.6)),
  marginLeft: 44,
  marginBottom: 36,
  style: { background: "transparent", color: "var(--ink)", fontSize: "12px" },
  ...more,
});
const tip = (lines) => ({ title: (row) => lines(row).filter(Boolean).join("\n"), tip: true });

// ---- score against length ----

function lengthFigures() {
  const families = d3.groups(
    runs.filter((run) => run.summary.stream_tokens.mean && run.summary.headline.value !== null),
    (run) => `${run.family}: ${run.summary.headline.metric}`,
  );
  return families
    .filter(([, mine]) => new Set(mine.map((run) => run.summary.task)).size > 1)
    .map(([title, mine]) => {
      const rows = mine
        .map(({ name, control, summary }) => ({
          name,
          control,
          task: summary.task,
          x: summary.stream_tokens.mean,
          ...summary.headline,
        }))
        .sort((a, b) => a.x - b.x);
      const ticks = [
        ...d3
          .rollup(
            rows,
            (part) => d3.mean(part, (row) => row.x),
            (row) => row.task,
          )
          .values(),
      ];
      return figure(title, (width) => {
        const some = rows.filter(shown);
        return Plot.plot(
          common(width, {
            x: {
              type: "log",
              label: "tokens of the stream",
              ticks,
              tickFormat: (tokens) => short(d3.format(".2r")(tokens)),
            },
            y: scoreAxis,
            marks: [
              Plot.areaY(
                some.filter((row) => !row.control),
                { x: "x", y1: "low", y2: "high", z: "name", fill: (row) => colour(row.name), fillOpacity: 0.14 },
              ),
              Plot.lineY(
                some.filter((row) => !row.control),
                { x: "x", y: "value", z: "name", stroke: (row) => colour(row.name), strokeWidth: 2 },
              ),
              Plot.lineY(
                some.filter((row) => row.control),
                { x: "x", y: "value", z: "name", stroke: (row) => colour(row.name), strokeDasharray: "4 3" },
              ),
              Plot.dot(some, {
                x: "x",
                y: "value",
                fill: (row) => colour(row.name),
                symbol: (row) => symbol(row.name),
                r: 4,
                ...tip((row) => [row.name, row.task, `${percent(row.value)} (${rangeText(row)})`, `n ${row.n}`]),
              }),
            ],
          }),
        );
      });
    });
}

// ---- score against memory and cost ----

const axes = {
  memory: {
    title: "memory",
    label: "tokens held when asked (mean)",
    format: short,
    of: (run) => run.summary.memory_tokens.mean,
  },
  usd: { title: "USD", label: "USD per answer, reading included", format: d3.format("~g"), of: (run) => run.usd },
  tokens: { title: "tokens of calls", label: "tokens of all calls per answer", format: short, of: (run) => run.tokens },
};

/** A dashed line for each control, with its name; controls with similar scores share a label. */
function controlLines(rows) {
  const names = d3
    .groups(rows, (row) => Math.round(30 * row.value))
    .map(([, alike]) => ({
      value: d3.max(alike, (row) => row.value),
      text: alike.map((row) => row.name).join(", "),
    }));
  return [
    Plot.ruleY(rows, { y: "value", stroke: (row) => colour(row.name), strokeDasharray: "4 3" }),
    Plot.text(names, {
      y: "value",
      text: "text",
      frameAnchor: "left",
      textAnchor: "start",
      dx: 4,
      dy: -7,
      fill: "var(--faint)",
    }),
  ];
}

/** The score of a group's runs against memory or a cost; null where no run has a value on that axis. */
function priceFigure(group, axis) {
  const { title, label, format, of } = axes[axis];
  const mine = runsOf(group).filter((run) => run.summary.headline.value !== null);
  if (!mine.some((run) => !run.control && of(run) > 0)) return null;
  return figure(`${group.title}: ${mine[0].summary.headline.metric} against ${title}`, (width) => {
    const rows = mine.filter(shown).map((run) => ({
      name: run.name,
      control: run.control,
      front: run.fronts.includes(axis),
      x: of(run),
      ...run.summary.headline,
    }));
    const some = rows.filter((row) => !row.control && row.x > 0);
    const front = some.filter((row) => row.front).sort((a, b) => a.x - b.x);
    const bars = rows.filter((row) => row.control);
    return Plot.plot(
      common(width, {
        marginRight: 20,
        x: { type: "log", label, tickFormat: format, ticks: 3, nice: true },
        y: scoreAxis,
        marks: [
          ...controlLines(bars),
          Plot.line(front, { x: "x", y: "value", curve: "step-after", stroke: "var(--faint)", strokeWidth: 1.5 }),
          Plot.ruleX(some, {
            x: "x",
            y1: "low",
            y2: "high",
            stroke: (row) => colour(row.name),
            strokeOpacity: 0.5,
          }),
          Plot.dot(some, {
            x: "x",
            y: "value",
            r: 5,
            symbol: (row) => symbol(row.name),
            stroke: (row) => colour(row.name),
            strokeWidth: 2,
            fill: (row) => (row.front ? colour(row.name) : "var(--paper)"),
            ...tip((row) => [
              row.name,
              `${percent(row.value)} (${rangeText(row)})`,
              `${row.x < 1 ? usd(row.x) : short(d3.format(".3r")(row.x))} ${label}`,
              row.front ? "on the Pareto front" : "",
            ]),
          }),
        ],
      }),
    );
  });
}

// ---- where answers are lost ----

/** Where an answer was lost -> its colour. page.words has the words for it. */
const stages = {
  write: "var(--s1)",
  recall: "var(--s0)",
  "not recalled": "var(--s5)",
  read: "var(--s4)",
  "n/a": "var(--control)",
};

function stageKeys() {
  const used = Object.keys(stages).filter((stage) => runs.some((run) => !run.control && run.lost[stage]));
  return el(
    "div",
    { class: "legend" },
    used.map((stage) => el("span", { class: "key" }, el("i", { style: { background: stages[stage] } }), page.words[stage])),
  );
}

function lostFigure(group) {
  const mine = runsOf(group).filter((run) => !run.control && Object.keys(run.lost).length);
  if (!mine.length) return null;
  return figure(group.title, (width) => {
    const some = mine.filter(shown);
    const rows = some.flatMap((run) =>
      Object.keys(stages).map((stage) => ({ name: run.name, stage, answers: run.lost[stage] ?? 0 })),
    );
    return Plot.plot(
      common(width, {
        height: 60 + 30 * some.length,
        marginLeft: Math.min(140, 20 + 7 * d3.max(some, (run) => run.name.length)),
        x: { label: "wrong answers", grid: true, ticks: 5 },
        y: { label: null, domain: some.map((run) => run.name) },
        marks: [
          Plot.barX(rows, {
            x: "answers",
            y: "name",
            fill: (row) => stages[row.stage],
            ...tip((row) => [`${row.name}: ${page.words[row.stage]}`, `${row.answers} answers`]),
          }),
          Plot.text(
            rows.filter((row) => row.answers),
            Plot.stackX({ x: "answers", y: "name", text: "answers", fill: "var(--paper)", fontWeight: 600 }),
          ),
          Plot.ruleX([0]),
        ],
      }),
    );
  });
}

// ---- memory over the stream ----

const total = (tokens) => d3.sum(Object.values(tokens));

function streamFigure(group) {
  const mine = runsOf(group).filter((run) => run.economics.along.length);
  if (!mine.length) return null;
  return figure(group.title, (width) => {
    const rows = mine
      .filter(shown)
      .flatMap((run) =>
        run.economics.along.map((held) => ({ name: run.name, x: held.stream_tokens, y: total(held.tokens) })),
      );
    return Plot.plot(
      common(width, {
        x: { label: "tokens of the stream read", tickFormat: "~s", ticks: 5, zero: true },
        y: { label: "tokens held", tickFormat: "~s", grid: true, ticks: 5, zero: true },
        marks: [
          Plot.lineY(rows, { x: "x", y: "y", z: "name", stroke: (row) => colour(row.name), strokeWidth: 2 }),
          Plot.dot(rows, {
            x: "x",
            y: "y",
            fill: (row) => colour(row.name),
            r: 2,
            ...tip((row) => [row.name, `${count(row.y)} tokens after ${count(row.x)} of the stream`]),
          }),
        ],
      }),
    );
  });
}

/** The memory of one run by type; null where there is only one type. */
function typesFigure(group, run) {
  const rows = run.economics.along.flatMap((held) =>
    Object.entries(held.tokens).map(([kind, tokens]) => ({ kind, x: held.stream_tokens, y: tokens })),
  );
  const kinds = [...new Set(rows.map((row) => row.kind))];
  if (kinds.length < 2) return null;
  return figure(`${run.name} by type, ${group.title}`, (width) =>
    Plot.plot(
      common(width, {
        x: { label: "tokens of the stream read", tickFormat: "~s", ticks: 5, zero: true },
        y: { label: "tokens held", tickFormat: "~s", grid: true, ticks: 5 },
        color: { domain: kinds, range: kinds.map((_, at) => `var(--s${at % 8})`), legend: true },
        marks: [
          Plot.areaY(
            rows,
            Plot.stackY({
              x: "x",
              y: "y",
              fill: "kind",
              fillOpacity: 0.7,
              ...tip((row) => [row.kind, `${count(row.y)} tokens after ${count(row.x)} of the stream`]),
            }),
          ),
        ],
      }),
    ),
  );
}
