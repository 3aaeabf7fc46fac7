// @ts-check
// Follows what changes on the page. Everything is on the page without this script as well.

const body = document.body;
const place = body.dataset.place ?? "/";
let mark = body.dataset.mark ?? "";
/** @type {EventSource | null} */
let stream = null;
let lost = 0;

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A span in its two largest units. @param {number} seconds */
function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < MINUTE) return `${s}s`;
  if (s < HOUR) return `${Math.floor(s / MINUTE)}m ${s % MINUTE}s`;
  if (s < DAY) return `${Math.floor(s / HOUR)}h ${Math.floor((s % HOUR) / MINUTE)}m`;
  return `${Math.floor(s / DAY)}d ${Math.floor((s % DAY) / HOUR)}h`;
}

/** Shows moments in the time of the browser, with their distance; UTC stays as the title. */
function moments() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    if (!time.title) time.title = time.textContent ?? "";
    const away = (now - at.getTime()) / 1000;
    const how = away >= 0 ? `${span(away)} ago` : `in ${span(-away)}`;
    const text = `${at.toLocaleString()} (${how})`;
    if (time.textContent !== text) time.textContent = text;
  }
}

/** Puts an element in the place of the one with its id; the focus stays where it was.
 * @param {{id: string, html: string}} part */
function replace(part) {
  const old = document.getElementById(part.id);
  if (!old) return;
  const template = document.createElement("template");
  template.innerHTML = part.html;
  const fresh = template.content.firstElementChild;
  if (!fresh) return;
  const active = document.activeElement;
  const links = [...old.querySelectorAll("a, input, select, button, [tabindex]")];
  const focused = active ? links.indexOf(active) : -1;
  old.replaceWith(fresh);
  if (focused >= 0) {
    const again = fresh.querySelectorAll("a, input, select, button, [tabindex]")[focused];
    if (again instanceof HTMLElement) again.focus({ preventScroll: true });
  }
  // Rows of checks have ages in their text.
  if (!/^(as-of|standing|check)/.test(part.id)) fresh.classList.add("changed");
}

/** @param {MessageEvent} message */
function change(message) {
  lost = 0;
  mark = message.lastEventId || mark;
  for (const part of JSON.parse(message.data)) replace(part);
  moments();
}

/** Says that the coordinator is away, once it has been for a while. */
function away() {
  lost = lost || Date.now();
  if (Date.now() - lost < 3000) return;
  const standing = document.getElementById("standing");
  if (!standing) return;
  standing.className = "leaderless";
  standing.textContent = `No connection to this coordinator since ${new Date(lost).toLocaleTimeString()}. What runs keeps running; the page goes on when it answers, and any other coordinator shows the same.`;
}

function follow() {
  if (stream || document.hidden) return;
  const query = new URLSearchParams({ page: place, mark });
  stream = new EventSource(`/live?${query}`);
  stream.addEventListener("change", change);
  stream.addEventListener("open", () => { lost = 0; });
  stream.addEventListener("error", () => {
    // A stream that the server ended is opened again from the last mark.
    if (stream && stream.readyState === EventSource.CLOSED) {
      stream = null;
      lost = lost || Date.now();
      setTimeout(follow, 2000);
    }
    away();
  });
}

/** A hidden page takes no place among the followers. */
function visibility() {
  if (document.hidden && stream) {
    stream.close();
    stream = null;
  }
  follow();
}

/** `/` goes to the search field, `j` and `k` to the next and the previous row. @param {KeyboardEvent} event */
function key(event) {
  const target = event.target;
  const types = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
  if (types || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    const field = document.querySelector("input[type=search]");
    if (field instanceof HTMLElement) {
      event.preventDefault();
      field.focus();
    }
    return;
  }
  const step = event.key === "j" ? 1 : event.key === "k" ? -1 : 0;
  if (!step) return;
  const links = [...document.querySelectorAll("tbody th a")];
  const at = links.indexOf(/** @type {Element} */ (document.activeElement));
  const next = links[at < 0 ? 0 : Math.min(Math.max(at + step, 0), links.length - 1)];
  if (next instanceof HTMLElement) next.focus();
}

moments();
setInterval(moments, 5000);
setInterval(() => { if (lost) away(); }, 1000);
document.addEventListener("visibilitychange", visibility);
document.addEventListener("keydown", key);
follow();
