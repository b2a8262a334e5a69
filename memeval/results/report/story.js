/* The story of one answer, in the dialog. */
"use strict";

/** The nodes of a text in which the `wanted` parts are marked: [{text, kind}], the longest first. */
function marked(text, wanted) {
  const escape = (words) => words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\s+/g, "\\s+");
  const parts = wanted.filter((part) => part.text.trim().length > 1).sort((a, b) => b.text.length - a.text.length);
  if (!parts.length) return [text];
  const pattern = new RegExp(
    parts.map((part) => `((?<![\\p{L}\\p{N}])${escape(part.text.trim())}(?![\\p{L}\\p{N}]))`).join("|"),
    "giu",
  );
  const made = [];
  let at = 0;
  for (const found of text.matchAll(pattern)) {
    const kind = parts[found.slice(1).findIndex((group) => group !== undefined)].kind;
    made.push(text.slice(at, found.index), el("mark", { class: kind }, found[0]));
    at = found.index + found[0].length;
  }
  return [...made, text.slice(at)];
}

/** The fewest characters of an evidence sentence that is marked on its own. */
const SENTENCE = 15;

/** The nodes of a text in which evidence is marked, whole or by sentence, and golds inside and outside of it. */
function highlighted(text, facts) {
  const golds = facts.answerable
    ? facts.answers.filter((gold) => !/^(yes|no)$/i.test(gold)).map((gold) => ({ text: gold, kind: "gold" }))
    : [];
  const pieces = facts.evidence
    .flatMap((piece) => [piece.text, ...piece.text.split(/(?<=[.!?:])\s+|\n/)])
    .filter((text) => text.length >= SENTENCE)
    .map((text) => ({ text, kind: "evidence" }));
  return marked(text, pieces).flatMap((part) => {
    if (typeof part === "string") return marked(part, golds);
    part.replaceChildren(...marked(part.textContent, golds));
    return [part];
  });
}

const hasMark = (nodes) => nodes.some((node) => typeof node !== "string");
const pair = (name, ...cells) =>
  cells.flat().some((cell) => cell) ? [el("dt", {}, name), el("dd", {}, ...cells)] : [];

/** A text in a box; a long text is folded, unless something in it is marked. */
function textBox(head, text, facts, attributes = {}) {
  const nodes = highlighted(text, facts);
  const body = el("div", { class: "text" }, nodes);
  if (text.length < 400) return el("div", { class: "box", ...attributes }, head, body);
  return el(
    "div",
    { class: "box", ...attributes },
    head,
    el("details", { open: hasMark(nodes) }, el("summary", {}, `${text.slice(0, 120).replace(/\s+/g, " ")}…`), body),
  );
}

async function openStory(id) {
  const dialog = document.getElementById("story");
  const row = answers[id];
  const order = table.getRows("active").map((other) => other.getData().id);
  const at = order.indexOf(id);
  const step = (by, text) => {
    const next = at < 0 ? undefined : order[at + by];
    return el(
      "button",
      { type: "button", disabled: next === undefined, onclick: () => location.replace(`#answer-${next}`) },
      text,
    );
  };
  const bar = el(
    "div",
    { class: "bar" },
    named(row.agent),
    el("span", { class: "faint" }, [row.task, row.kind, row.times].filter(Boolean).join(", ")),
    el("span", { class: "grow" }),
    step(-1, "Previous"),
    step(1, "Next"),
    el("button", { type: "button", id: "close", onclick: () => dialog.close() }, "Close"),
  );
  const body =
    row.story === LEFT_OUT
      ? [
          el("p", {}, row.text),
          el(
            "p",
            { class: "faint" },
            "The story of this answer is not in the page, to keep it small: memeval report --stories all puts it in.",
          ),
        ]
      : await storyBody(row);
  dialog.replaceChildren(bar, ...body);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

async function storyBody(row) {
  const story = await value(row.story);
  const facts = await value(story.question);
  const mine = story.answers.find((answer) => answer.answer_repeat === row.again);
  const { headline, judge } = runs[row.run].summary;
  const judged = headline.metric === "judge" ? mine.rulings.find((ruling) => ruling.judge === judge?.scorer) : null;
  const asked = mine.attributed;
  const metrics = Object.entries({ ...mine.metrics, ...judged?.metrics })
    .map(([name, score]) => `${name} ${percent(score)}`)
    .join(", ");
  const others = answers.filter((other) => other.question === row.question && other.id !== row.id);
  return [
    el("h3", {}, facts.text || row.name),
    el(
      "dl",
      {},
      pair("id", `${row.name}, stream ${facts.context_id}, ${count(facts.stream_tokens)} tokens`),
      pair("time", facts.time),
      pair("options", (facts.options ?? []).join("\n")),
      pair("gold", facts.answerable ? facts.answers.join("\n") : "(unanswerable: the right reply is to decline)"),
      pair("answer", mine.answer ?? el("em", {}, row.verdict === "failed" ? "none" : "not kept")),
      pair("verdict", el("strong", { class: row.verdict }, row.verdict), metrics ? `  ${metrics}` : ""),
      pair(
        "reason",
        [(judged ?? mine).reason, mine.failure].filter((text, at, all) => text && all.indexOf(text) === at).join("\n"),
      ),
      asked && [
        pair("asked again", page.words[asked.where]),
        pair("with evidence", asked.with_evidence),
        pair("with memory", asked.with_memory),
      ],
      pair("lost", row.lost === "unsupported" ? "right, but the evidence is not in what was recalled" : row.lost),
      mine.rulings.map(({ judge, verdict, reason, reply }) =>
        pair(judge, `${verdict}\n${[reason, reply].filter(Boolean).join("\n")}`),
      ),
      pair("keypoints", facts.keypoints.join("\n")),
      pair(
        "others",
        others.map((other) =>
          el(
            "div",
            {},
            el("a", { href: `#answer-${other.id}` }, [other.agent, other.times].filter(Boolean).join(", ")),
            " ",
            el("span", { class: other.verdict }, other.verdict),
            ` ${other.answer}`,
          ),
        ),
      ),
    ),
    evidenceList(facts, story),
    await recalledList(facts, story),
    await memoryPart(facts, story),
  ].flat(Infinity);
}

function evidenceList(facts, story) {
  if (!facts.evidence.length) return [];
  const said = {
    true: ["right", "recalled"],
    false: ["wrong", "not recalled"],
    null: ["partly", "recalled from too many chunks to be traced"],
  };
  const found = [...story.found];
  return [
    el("h3", {}, "Evidence"),
    facts.evidence.map((piece, at) => {
      const [kind, text] = piece.chunks.length ? said[found.shift()] : ["faint", "not in the stream"];
      const head = el(
        "div",
        {},
        `${at + 1} `,
        el("span", { class: `badge ${kind}` }, text),
        " ",
        el("span", { class: "faint" }, [...piece.titles, ...piece.chunks].join(", ")),
      );
      return textBox(head, piece.text, facts);
    }),
  ];
}

async function recalledList(facts, story) {
  const texts = await Promise.all(story.recalled.map((item) => value(item.text)));
  const beyond =
    story.recall_dropped || story.recall_lost
      ? `; ${count(story.recall_dropped)} items and ${count(story.recall_lost)} tokens were beyond the budget`
      : "";
  return [
    el("h3", {}, "Recalled"),
    el("p", { class: "faint" }, `${story.recalled.length} items, ${count(story.recall_tokens)} tokens${beyond}`),
    story.recalled.map((item, at) => {
      const about = [
        item.id ?? item.chunks.join(", "),
        item.score === null ? "" : `score ${item.score.toPrecision(3)}`,
        `${count(item.tokens)} tokens`,
      ];
      const head = el(
        "div",
        { class: "faint" },
        about.filter(Boolean).join(", "),
        " ",
        item.holds.map((piece) => el("span", { class: "badge right" }, `holds evidence ${piece + 1}`)),
      );
      return textBox(head, texts[at], facts, { class: item.holds.length ? "box holds" : "box" });
    }),
  ];
}

async function memoryPart(facts, story) {
  const title = el("h3", {}, "Memory when asked");
  if (story.memory === null) {
    const held = story.memory_tokens === null ? "" : ` (${count(story.memory_tokens)} tokens)`;
    return [title, el("p", { class: "faint" }, `Nothing was recorded of it${held}.`)];
  }
  const memory = await value(story.memory);
  const held =
    memory.held === null
      ? "its size is not reported"
      : Object.entries(memory.held)
          .map(([kind, tokens]) => `${kind} ${count(tokens)}`)
          .join(", ") + " tokens";
  const parts = [title, el("p", { class: "faint" }, `After ${count(memory.chunks)} chunks: ${held}.`)];
  const entries = await Promise.all(memory.entries.map(value));
  const texts = await Promise.all(entries.map((entry) => value(entry.text)));
  const boxes = entries.map(({ type, id }, at) => ({
    type,
    id,
    text: texts[at],
    marks: hasMark(highlighted(texts[at], facts)),
  }));
  const box = (entry) => textBox(el("span", { class: "faint" }, entry.id), entry.text, facts);
  for (const [type, some] of d3.group(boxes, (entry) => entry.type)) {
    const rest = some.filter((entry) => !entry.marks);
    parts.push(el("h4", {}, `${type}: ${count(some.length)} entries`), some.filter((entry) => entry.marks).map(box));
    if (rest.length) parts.push(folded(`${count(rest.length)} entries without golds or evidence`, () => rest.map(box)));
  }
  const calls = d3.group(await Promise.all(memory.operations.map(value)), (call) => call.chunk);
  const chunks = d3.sort(new Set([...calls.keys(), ...Object.keys(memory.replies)]), inOrder);
  if (chunks.length) {
    parts.push(
      el("h3", {}, "Calls that wrote it"),
      folded(`${count(memory.operations.length)} calls in ${count(chunks.length)} chunks`, () =>
        Promise.all(chunks.map((chunk) => chunkPart(chunk, calls.get(chunk) ?? [], memory.replies[chunk], facts))),
      ),
    );
  }
  return parts.flat();
}

/** A details element whose content is made when it is first opened. */
function folded(title, content) {
  const made = el(
    "details",
    {
      ontoggle: async () => {
        if (made.open && made.children.length === 1) made.append(...(await content()).flat());
      },
    },
    el("summary", {}, title),
  );
  return made;
}

/** The key that sorts the chunks of a stream, with what an agent did before the first and after the last one. */
const inOrder = (chunk) => ({ begin: "", finish: "~" })[chunk] ?? chunk;

/** The calls for one chunk, or the reply to it where nothing was stored. */
async function chunkPart(chunk, calls, reply, facts) {
  const boxes = calls.map(async (call) => {
    const texts = Object.values(call.arguments).map((text) => (typeof text === "number" ? value(text) : text));
    const names = Object.keys(call.arguments);
    return el(
      "div",
      { class: "box" },
      el("code", {}, call.name),
      " ",
      el("span", { class: call.status === "ok" ? "right" : "wrong" }, call.status),
      " ",
      el("span", { class: "faint" }, call.message),
      (await Promise.all(texts)).map((text, at) =>
        el("div", { class: "text" }, el("span", { class: "faint" }, `${names[at]}: `), highlighted(text, facts)),
      ),
    );
  });
  return el(
    "div",
    {},
    el("h4", {}, chunk),
    reply ? el("p", { class: "faint" }, `reply: ${reply}`) : null,
    await Promise.all(boxes),
  );
}
