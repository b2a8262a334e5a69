/* The table of answers. Their data are compressed: #rows holds JSON, each .block a list of JSON values. */
"use strict";

// ---- packed data ----

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const blocks = [...document.querySelectorAll("script.block")];
const opened = new Map();

/** The packed value with this number. A block that was unpacked is kept. */
async function value(number) {
  const block = d3.bisectRight(page.starts, number) - 1;
  if (!opened.has(block)) opened.set(block, unpacked(blocks[block].textContent));
  return (await opened.get(block))[number - page.starts[block]];
}

// ---- the table of answers ----

const filters = {};
let answers = [];
let table = null;

async function answerRows() {
  const { questions, answers: rows } = await unpacked(document.getElementById("rows").textContent);
  return rows.map(([run, question, repeat, again, verdict, score, lost, answer, story], id) => {
    const [name, , kind, text, golds] = questions[question];
    const task = groupOf(run).title;
    const found = [name, text, golds, answer].join("\n").toLowerCase();
    const times = [repeat ? `repeat ${repeat}` : "", again ? `answer ${again}` : ""].filter(Boolean).join(", ");
    return {
      id,
      run,
      agent: runs[run].name,
      question,
      again,
      name,
      task,
      kind,
      text,
      golds,
      times,
      verdict,
      score,
      lost,
      answer,
      story,
      found,
    };
  });
}

function filterBar(state) {
  const choice = (field, title) => {
    const values = [...new Set(answers.map((row) => row[field]))].filter((text) => text !== "").sort();
    if (values.length < 2) return null;
    return el(
      "select",
      {
        "aria-label": title,
        id: `filter-${field}`,
        onchange: (event) => {
          filters[field] = event.target.value;
          refilter();
        },
      },
      el("option", { value: "" }, title),
      values.map((text) => el("option", { value: text }, text)),
    );
  };
  let waiting = null;
  const search = el("input", {
    type: "search",
    id: "search",
    placeholder: "Search question, gold, answer, id",
    "aria-label": "Search",
    oninput: (event) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        filters.search = event.target.value.trim().toLowerCase();
        refilter();
      }, 120);
    },
  });
  return el(
    "div",
    { class: "filters" },
    search,
    choice("task", "Any task"),
    choice("agent", "Any agent"),
    choice("kind", "Any kind"),
    choice("verdict", "Any verdict"),
    choice("lost", "Lost anywhere"),
    state,
  );
}

function matches(row) {
  for (const [field, wanted] of Object.entries(filters)) {
    if (wanted && (field === "search" ? !row.found.includes(wanted) : row[field] !== wanted)) return false;
  }
  return true;
}

function refilter() {
  table.setFilter(matches);
}

const textCell = (cell) => document.createTextNode(cell.getValue() ?? "");

function answerTable(room, state) {
  table = new Tabulator(room, {
    data: answers,
    index: "id",
    height: "min(70vh, 640px)",
    layout: "fitColumns",
    responsiveLayout: "hide",
    autoResize: false, // it would also redraw when the table comes into view, and a click at that moment would be lost
    placeholder: "No answer matches",
    columnDefaults: { formatter: textCell, headerSortTristate: true },
    columns: [
      {
        title: "question",
        field: "text",
        widthGrow: 4,
        minWidth: 150,
        responsive: 0,
        formatter: (cell) => el("a", { href: `#answer-${cell.getData().id}` }, cell.getValue() || cell.getData().name),
      },
      {
        title: "verdict",
        field: "verdict",
        width: 95,
        responsive: 0,
        formatter: (cell) => el("span", { class: cell.getValue() }, cell.getValue()),
      },
      {
        title: "score",
        field: "score",
        width: 85,
        hozAlign: "right",
        responsive: 2,
        sorter: "number",
        formatter: (cell) => document.createTextNode(percent(cell.getValue())),
      },
      { title: "agent", field: "agent", width: 110, responsive: 1 },
      { title: "task", field: "task", width: 110, responsive: 3 },
      ...(answers.some((row) => row.lost) ? [{ title: "lost", field: "lost", width: 130, responsive: 3 }] : []),
      { title: "answer", field: "answer", widthGrow: 2, minWidth: 110, responsive: 4 },
      { title: "gold", field: "golds", widthGrow: 2, minWidth: 110, responsive: 5 },
      { title: "kind", field: "kind", width: 110, responsive: 6 },
      ...(answers.some((row) => row.times) ? [{ title: "repeat", field: "times", width: 90, responsive: 7 }] : []),
      { title: "id", field: "name", width: 170, responsive: 8 },
    ],
  });
  const counted = (number) => {
    state.textContent = `${count(number)} of ${count(answers.length)} answers`;
  };
  table.on("dataFiltered", (_, rows) => counted(rows.length));
  counted(answers.length);
}
