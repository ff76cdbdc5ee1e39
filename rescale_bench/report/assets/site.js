// The site: what is chosen stands in the address, tables and values are loaded when they are first shown.

// --- the address -------------------------------------------------------------

const address = () => new URLSearchParams(location.hash.slice(1));

function keep(values) {
  const known = Object.entries(values).filter(([, value]) => value !== "");
  const text = "#" + new URLSearchParams(known).toString();
  if (text !== location.hash) history.replaceState(null, "", text);
}

// --- loading -----------------------------------------------------------------

// A page opened from a disk may read no files, but it may run scripts that lie beside it.
const loaded = new Map();
const waiting = new Map();
window.rescaleBench = (key, content) => {
  loaded.set(key, content);
  waiting.get(key)?.forEach((done) => done(content));
  waiting.delete(key);
};

function load(key) {
  if (loaded.has(key)) return Promise.resolve(loaded.get(key));
  return new Promise((done, failed) => {
    if (waiting.has(key)) { waiting.get(key).push(done); return; }
    waiting.set(key, [done]);
    const script = document.createElement("script");
    script.src = `data/${key}.js`;
    script.onerror = () => { waiting.delete(key); failed(new Error(`data/${key}.js is not there`)); };
    document.head.append(script);
  });
}

// --- choosing a leaderboard --------------------------------------------------

const FIELDS = ["set", "protocol", "codec"];
const boards = control("boards") ? JSON.parse(control("boards").textContent) : [];

function fill(select, values, names, wanted) {
  select.replaceChildren(...values.map((value, index) => new Option(names[index], value)));
  select.value = values.includes(wanted) ? wanted : values[0];
  select.closest("label").classList.toggle("single", values.length < 2);
}

// Each choice offers what is there under the ones before it, so that none leads to nothing.
function choose(wanted, everyScale) {
  let left = boards;
  for (const field of FIELDS) {
    const values = [...new Set(left.map((board) => board[field]))];
    fill(control(field), values, values, wanted(field));
    left = left.filter((board) => board[field] === valueOf(field));
  }
  const scales = everyScale ? ["", ...left[0].scales] : left[0].scales;
  fill(control("scale"), scales, scales.map((scale) => (scale === "" ? "all scales" : `×${scale}`)), wanted("scale"));
  return left[0];
}

const chosen = () => Object.fromEntries([...FIELDS, "scale"].map((field) => [field, valueOf(field)]));

// --- the leaderboard ---------------------------------------------------------

function leaderboardPage() {
  const place = control("board");
  const shown = { key: boards[0].key, sort: "", order: "" };
  loaded.set(boards[0].key, place.innerHTML);

  function filter() {
    let [kept, total] = [0, 0];
    for (const table of all("table.board", place)) {
      const [some, every] = filterTable(table, valueOf("method"), valueOf("scale"));
      table.closest(".scroll").hidden = !all("tbody tr", table).some((row) => !row.hidden);
      [kept, total] = [kept + some, total + every];
    }
    control("count").textContent = kept === total ? `${total} rows` : `${kept} of ${total} rows`;
    keep({ ...chosen(), method: valueOf("method"), sort: shown.sort, order: shown.order });
  }

  function sort() {
    for (const table of all("table.board", place)) {
      const column = all("thead th", table).findIndex((head) => head.dataset.name === shown.sort);
      if (column >= 0) sortBy(table, column, shown.order);
    }
  }

  async function show(board) {
    const html = await load(board.key);
    if (shown.key !== board.key) {
      shown.key = board.key;
      place.innerHTML = html;
    }
    prepare(board);
  }

  function prepare(board) {
    control("board-title").textContent = board.title;
    all("table.board", place).filter((table) => !table.dataset.ready).forEach((table) => {
      table.dataset.ready = "yes";
      sortable(table, (name, order) => {
        [shown.sort, shown.order] = order === "none" ? ["", ""] : [name, order];
        filter();
      });
    });
    sort();
    filter();
  }

  function fromAddress() {
    const said = address();
    [shown.sort, shown.order] = [said.get("sort") ?? "", said.get("order") ?? ""];
    if (!["ascending", "descending"].includes(shown.order)) shown.sort = shown.order = "";
    control("method").value = said.get("method") ?? "";
    show(choose((field) => said.get(field) ?? "", true));
  }

  [...FIELDS, "scale"].forEach((field) => control(field).addEventListener("input", () => {
    const now = chosen();
    show(choose((name) => now[name], true));
  }));
  control("method").addEventListener("input", filter);
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
}

// --- comparing two methods ---------------------------------------------------

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  return made;
}

const signed = (value, digits) => (value > 0 ? "+" : "") + value.toFixed(digits);

function comparison(data, metric, a, b) {
  const [left, right] = [a, b].map((name) => data.methods[name][metric.name] ?? []);
  return data.images.map((image, index) => {
    const [x, y] = [left[index] ?? null, right[index] ?? null];
    const both = typeof x === "number" && typeof y === "number";
    return { image, x, y, difference: both ? x - y : null };
  });
}

// The mean difference with its 95 % t-interval, and how often each is better.
function verdict(data, metric, rows, a, b) {
  const differences = rows.map((row) => row.difference).filter((value) => value !== null);
  const n = differences.length;
  if (n === 0) return `${a} and ${b} have no image in common on which ${metric.name} is finite for both.`;
  const mean = differences.reduce((sum, value) => sum + value, 0) / n;
  const spread = Math.sqrt(differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
  const half = n > 1 ? ` ± ${(data.quantiles[n] * spread / Math.sqrt(n)).toFixed(metric.decimals)}` : "";
  const better = differences.filter((value) => (metric.up ? value > 0 : value < 0)).length;
  const equal = differences.filter((value) => value === 0).length;
  const unit = metric.unit ? ` ${metric.unit}` : "";
  return `${metric.name} of ${a} minus that of ${b}: ${signed(mean, metric.decimals)}${half}${unit} over ${n} ` +
    `${n === 1 ? "image" : "images"}${n > 1 ? " (mean ± half the paired 95 % t-interval)" : ""}. ` +
    `${a} is better on ${better}, ${b} on ${n - better - equal}${equal ? `, ${equal} equal` : ""}.`;
}

function comparedTable(metric, rows, a, b) {
  const table = element("table", "", { class: "board" });
  table.append(element("caption", `${metric.name} of ${a} and ${b}, image by image`, { class: "unseen" }));
  const head = table.createTHead().insertRow();
  const first = metric.up ? "descending" : "ascending";
  const columns = [["image", "text", "ascending"], [`A: ${a}`, "number", first], [`B: ${b}`, "number", first], ["A − B", "number", first]];
  for (const [name, kind, order] of columns) {
    const cell = element("th", "", { scope: "col", class: kind, "aria-sort": "none", "data-first": order, "data-name": name });
    cell.append(element("button", name, { type: "button" }));
    head.append(cell);
  }
  const body = table.createTBody();
  const number = (value, text) => element("td", text, { class: value === null ? "number missing" : "number", "data-value": value === "∞" ? "Infinity" : value ?? "" });
  const shown = (value) => (value === null ? "–" : typeof value === "number" ? value.toFixed(metric.decimals) : value);
  for (const { image, x, y, difference, card } of rows) {
    const row = body.insertRow();
    const head = element("th", card ? "" : image, { scope: "row", "data-value": image.toLowerCase() });
    if (card) {
      head.append(element("button", image, { type: "button", class: "to-card" }));
      head.firstChild.addEventListener("click", () => { card.scrollIntoView(); card.focus(); });
    }
    row.append(head);
    row.append(number(x, shown(x)), number(y, shown(y)));
    row.append(number(difference, difference === null ? "–" : signed(difference, metric.decimals)));
  }
  sortable(table);
  const scroll = element("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${a} and ${b}, image by image` });
  scroll.append(table);
  return scroll;
}

// --- pictures of the two -----------------------------------------------------

function picture(digest, alternative, attributes = {}) {
  return element("img", "", { src: `pictures/${digest}.webp`, alt: alternative, loading: "lazy", width: 96, height: 96, ...attributes });
}

function figure(caption, ...held) {
  const made = element("figure", "");
  made.append(...held, element("figcaption", caption));
  return made;
}

// A picture with a second one over it: the original while it is pressed in, or what makes their difference.
function pressed(digest, original, caption) {
  const made = element("button", "", { type: "button", class: "crop", "aria-pressed": "false" });
  made.append(picture(digest, caption), picture(original, "the original", { class: "over" }));
  made.addEventListener("click", () => made.setAttribute("aria-pressed", made.getAttribute("aria-pressed") === "false"));
  return figure(caption, made);
}

function differing(one, other, caption) {
  const made = element("div", "", { class: "crop difference", role: "img", "aria-label": caption });
  made.append(picture(one, ""), picture(other, "", { class: "over" }));
  return figure(caption, made);
}

function pictureCard(metric, row, a, b, [hr, lrA, srA], [, lrB, srB]) {
  const made = element("article", "", { tabindex: "-1" });
  const shown = (value) => (typeof value === "number" ? value.toFixed(metric.decimals) : value ?? "–");
  const head = element("h3", row.image);
  const unit = metric.unit ? ` ${metric.unit}` : "";
  const less = row.difference === null ? "" : `, A − B ${signed(row.difference, metric.decimals)}`;
  head.append(element("small", `${metric.name} ${shown(row.x)} and ${shown(row.y)}${less}${unit}`));
  const crops = element("div", "", { class: "crops" });
  const original = element("div", "", { class: "crop" });
  original.append(picture(hr, `the original of ${row.image}`));
  crops.append(pressed(srA, hr, `A: ${a}`), pressed(srB, hr, `B: ${b}`), figure("Original", original));
  crops.append(differing(srA, srB, "Difference A − B"));
  if (lrA === lrB) crops.append(pressed(lrA, hr, "LR of both"));
  else crops.append(pressed(lrA, hr, "LR of A"), pressed(lrB, hr, "LR of B"));
  made.append(head, crops);
  return made;
}

// Only where both were cut from the same original; from worst to best for A. Each row of the table learns its card.
function pictureCards(data, metric, rows, a, b) {
  const better = ({ difference }) => (difference === null ? Infinity : metric.up ? difference : -difference);
  const both = rows.filter(({ image }) => {
    const [left, right] = [a, b].map((name) => data.pictures[name]?.[image]);
    return left && right && left[0] === right[0];
  });
  both.sort((one, other) => better(one) - better(other) || 0);
  return both.map((row) => (row.card = pictureCard(metric, row, a, b, data.pictures[a][row.image], data.pictures[b][row.image])));
}

function comparePage() {
  const PAIR = ["metric", "a", "b"];

  async function show(wanted) {
    const board = choose(wanted, false);
    const data = await load(`images-${board.key.replace("board-", "")}-${valueOf("scale")}`);
    const [names, metrics] = [Object.keys(data.methods), data.metrics.map((metric) => metric.name)];
    fill(control("metric"), metrics, metrics, wanted("metric"));
    fill(control("a"), names, names, wanted("a"));
    fill(control("b"), names, names, wanted("b") || (names.find((name) => name !== valueOf("a")) ?? ""));
    const metric = data.metrics.find((one) => one.name === valueOf("metric"));
    const rows = comparison(data, metric, valueOf("a"), valueOf("b"));
    control("verdict").textContent = verdict(data, metric, rows, valueOf("a"), valueOf("b"));
    const cards = pictureCards(data, metric, rows, valueOf("a"), valueOf("b"));
    const held = Object.keys(data.pictures);
    const none = element("p", `Of these two methods there are no pictures of the same image. There are pictures of ${held.join(", ")}.`);
    control("pictures").hidden = held.length === 0;
    control("crops").replaceChildren(...(cards.length ? cards : [none]));
    control("compared").replaceChildren(comparedTable(metric, rows, valueOf("a"), valueOf("b")));
    keep({ ...chosen(), ...Object.fromEntries(PAIR.map((name) => [name, valueOf(name)])) });
  }

  const fromAddress = () => { const said = address(); show((field) => said.get(field) ?? ""); };
  const fromPage = () => {
    const now = { ...chosen(), ...Object.fromEntries(PAIR.map((name) => [name, valueOf(name)])) };
    show((field) => now[field]);
  };
  [...FIELDS, "scale", ...PAIR].forEach((name) => control(name).addEventListener("input", fromPage));
  control("swap").addEventListener("click", () => {
    [control("a").value, control("b").value] = [valueOf("b"), valueOf("a")];
    fromPage();
  });
  const brighten = () => control("crops").style.setProperty("--gain", valueOf("gain"));
  control("gain").addEventListener("input", brighten);
  window.addEventListener("hashchange", fromAddress);
  brighten();
  fromAddress();
}

// --- other pages -------------------------------------------------------------

function tablesPage() {
  const tables = all("table.board");
  tables.forEach((table) => sortable(table));
  if (!control("find")) return;
  const filter = () => {
    const [kept, total] = filterTable(tables[0], valueOf("find"), "");
    control("count").textContent = `${kept} of ${total}`;
  };
  control("find").addEventListener("input", filter);
  filter();
}

if (control("board")) leaderboardPage();
else if (control("compared")) comparePage();
else tablesPage();
