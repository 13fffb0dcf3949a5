/** The page that watches any task. */

import { watchTask } from "./watch_task.js";

const API = new URL(".", location.href); // this page is <prefix>/watch, the API is at <prefix>/
const MOST_ROWS = 500;
const RUNNING = "running"; // while the task says nothing of itself
const FINAL = new Set(["completed", "failed", "cancelled", "expired", "deleted"]);
const LINKS = {
  connecting: () => "Connecting …",
  open: () => "Live.",
  waiting: (seconds) => `No connection; next attempt in ${Math.ceil(seconds)} s.`,
  ended: () => "The task has ended.",
  missing: () => "There is no such task: it was never submitted, was deleted, or its result has expired.",
};

const element = (id) => document.getElementById(id);
let stop = () => {};
let frames = 0;

function watch(taskId) {
  stop();
  element("task-id").value = taskId;
  element("task").hidden = true;
  element("log").replaceChildren();
  frames = 0;
  history.replaceState(null, "", `?task=${encodeURIComponent(taskId)}`);
  stop = watchTask(API, taskId, {
    onLink: (state, seconds) => say("link", LINKS[state](seconds)),
    onFrame: (frame, text) => {
      show(frame, text);
      record(frame.event, text);
    },
  });
}

// ---- the task ----------------------------------------------------------------------------------

function show({ event, data }, text) {
  element("task").hidden = false;
  if (event === "connected") say("task-name", data.name ?? "Task");
  showStatus(event === "deleted" ? "DELETED" : data.status);
  showRetries(data, event);
  if (event === "connected") showProgress(data.progress);
  if (event === "progress") showProgress(data);
  if (event === "started") showProgress(null, RUNNING);
  if (FINAL.has(event)) {
    element("progress").hidden = true;
    if (element("message").textContent === RUNNING) say("message", "");
  }
  showResult(data.status === "SUCCESS", text);
  showError(data.error);
}

function showStatus(status) {
  if (!status) return;
  say("status", status);
  element("status").dataset.status = status;
}

function showProgress(progress, otherwise = "") {
  const bar = element("progress");
  bar.hidden = false;
  if (progress?.total) {
    bar.max = progress.total;
    bar.value = progress.done;
  } else {
    bar.removeAttribute("value"); // how far it is from its end is not known
  }
  say("message", progress?.message || otherwise);
  say("count", progress ? [progress.done, progress.total].filter((part) => part != null).join(" of ") : "");
}

function showRetries({ retry_count: retries, due }, event) {
  if (retries === undefined) return;
  const next = due && !FINAL.has(event) ? `due at ${new Date(due).toLocaleTimeString()}` : "";
  say("retries", [retries ? `${retries} ${retries === 1 ? "retry" : "retries"}` : "", next].filter(Boolean).join(", "));
  element("retries").hidden = !element("retries").textContent;
}

function showResult(isThere, text) {
  element("result-part").hidden = !isThere;
  if (isThere) say("result", JSON.stringify(JSON.parse(text, exactly).data.result, null, 2));
}

/** Keep numbers as they were written: 12345678901234567 would become 12345678901234568. */
function exactly(key, value, context) {
  const isChanged = typeof value === "number" && context?.source !== undefined && String(value) !== context.source;
  return isChanged && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
}

function showError(error) {
  element("error-part").hidden = !error;
  if (!error) return;
  say("error-type", error.type);
  say("error-message", error.message);
  say("traceback", error.traceback);
}

// ---- the log -----------------------------------------------------------------------------------

function record(event, text) {
  const log = element("log");
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
  const row = document.createElement("li");
  row.append(part("time", new Date().toLocaleTimeString()), part("b", event), part("code", text));
  log.append(row);
  frames += 1;
  if (frames > MOST_ROWS) log.firstElementChild.remove();
  say("frame-count", frames > MOST_ROWS ? `the last ${MOST_ROWS} of ${frames}` : String(frames));
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function part(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

/** Only what has changed is written, so that a screen reader is not told the same thing again. */
function say(id, text) {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
}

// ---- submitting --------------------------------------------------------------------------------

async function submit(name, args) {
  try {
    JSON.parse(args);
  } catch (error) {
    return complain({ detail: `The arguments are not JSON: ${error.message}` });
  }
  try {
    const response = await fetch(new URL("tasks", API), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: `{"name":${JSON.stringify(name)},"args":${args}}`, // as typed: parsing would change large integers
    });
    const answer = await response.json();
    if (!response.ok) return complain(answer);
    complain(null);
    return watch(answer.task_id);
  } catch (error) {
    return complain({ detail: `The server did not answer: ${error.message}` });
  }
}

function complain(problem) {
  element("problem").hidden = !problem;
  const faults = problem?.errors ?? [];
  say("problem-detail", faults.length ? "Refused:" : problem?.detail ?? problem?.title ?? "");
  const items = faults.map(({ pointer, detail }) => {
    const item = document.createElement("li");
    item.append(part("code", pointer || "/"), ` ${detail}`);
    return item;
  });
  element("problem-errors").replaceChildren(...items);
}

// ---- the page ----------------------------------------------------------------------------------

element("watch").addEventListener("submit", (event) => {
  event.preventDefault();
  watch(element("task-id").value.trim());
});

element("submit").addEventListener("submit", (event) => {
  event.preventDefault();
  submit(element("name").value.trim(), element("args").value);
});

const asked = new URLSearchParams(location.search).get("task");
if (asked) {
  watch(asked);
} else {
  element("submission").open = true;
}
