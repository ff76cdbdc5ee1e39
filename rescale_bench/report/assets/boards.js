// Tables that sort and filter, and commands that can be copied: of the report and of the site.
const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
const control = (id) => document.getElementById(id);
const valueOf = (id) => (control(id) ? control(id).value : "");

// --- sorting -----------------------------------------------------------------

const NEXT = { descending: "ascending", ascending: "descending" };

function compare(a, b, numeric) {
  return numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
}

function sortBy(table, column, order) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const numeric = heads[column].classList.contains("number");
  const sign = order === "descending" ? -1 : 1;
  heads.forEach((head, index) => head.setAttribute("aria-sort", index === column ? order : "none"));
  table.classList.toggle("sorted", order !== "none");
  rows.sort((one, other) => {
    const [a, b] = [one.cells[column].dataset.value, other.cells[column].dataset.value];
    // Missing values stay at the end in both orders; equal ones keep the order of the page.
    if (order === "none" || a === b) return one.dataset.place - other.dataset.place;
    if (a === "" || b === "") return a === "" ? 1 : -1;
    return sign * compare(a, b, numeric) || one.dataset.place - other.dataset.place;
  });
  body.append(...rows);
}

// sorted: called with (name of the column, order) after a click.
function sortable(table, sorted = () => {}) {
  Array.from(table.tBodies[0].rows).forEach((row, index) => { row.dataset.place = index; });
  Array.from(table.tHead.rows[0].cells).forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const now = head.getAttribute("aria-sort");
    const first = head.dataset.first;
    const next = now === "none" ? first : now === first ? NEXT[first] : "none";
    sortBy(table, column, next);
    sorted(head.dataset.name, next);
  }));
}

// --- filtering ---------------------------------------------------------------

const matches = (text, wanted) => wanted.toLowerCase().split(/[\s,]+/).filter(Boolean)
  .every((word) => text.toLowerCase().includes(word));

// Hide the rows of other methods, and rows and columns of other scales; returns [shown, all] rows.
function filterTable(table, method, scale) {
  const columns = all("thead th", table).map((head) => !scale || !head.dataset.scale || head.dataset.scale === scale);
  let shown = 0;
  for (const row of Array.from(table.tBodies[0].rows)) {
    row.hidden = !matches(row.dataset.method, method) || (scale !== "" && row.dataset.scale !== "" && row.dataset.scale !== scale);
    shown += row.hidden ? 0 : 1;
  }
  if (columns.includes(false) || table.dataset.cut) {
    table.dataset.cut = "yes";
    for (const row of Array.from(table.rows)) {
      columns.forEach((kept, column) => { row.cells[column].hidden = !kept; });
    }
  }
  return [shown, table.tBodies[0].rows.length];
}

all("form").forEach((form) => form.addEventListener("submit", (event) => event.preventDefault()));

// --- copying commands ------------------------------------------------------

for (const button of all("button.copy")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
