/** The page: uploads photographs, watches the task that develops them, shows what comes of it. */

import { watchTask } from "../queue/static/watch_task.js";

const API = new URL("queue/", location.href);
const element = (id) => document.getElementById(id);
const form = element("upload");
let stop = () => {};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const refusal = refusalOf([...element("photos").files]);
  if (refusal) return complain(refusal);
  stop();
  begin("Uploading …");
  element("send").disabled = true;
  try {
    watch(await upload());
  } catch (error) {
    complain(error.message);
  } finally {
    element("send").disabled = false;
  }
});

/** Said before the upload: a server that refuses a large body can't be heard while the browser still sends it. */
function refusalOf(files) {
  const { mostPhotos, mostBytes } = form.dataset;
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  if (files.length > mostPhotos) return `Choose at most ${mostPhotos} photographs.`;
  if (bytes > mostBytes) return `Choose fewer: ${megabytes(bytes)} are more than ${megabytes(mostBytes)} at once.`;
  return "";
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

async function upload() {
  const response = await fetch(form.action, { method: "POST", body: new FormData(form) }).catch(() => {
    throw new Error("The upload was cut off. Is the server up?");
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer.task_id;
}

function watch(taskId) {
  history.replaceState(null, "", `#${taskId}`); // a reload goes on watching
  begin("Waiting for a worker …");
  element("details").search = `?task=${encodeURIComponent(taskId)}`;
  element("details").parentElement.hidden = false;
  stop = watchTask(API, taskId, { onFrame: show, onLink: showLink });
}

function begin(text) {
  element("work").hidden = false;
  element("details").parentElement.hidden = true;
  element("problem").hidden = true;
  element("album").hidden = true;
  showProgress({ message: text });
}

function show({ event, data }) {
  if (event === "connected") showProgress(data.progress ?? { message: "Waiting for a worker …" });
  if (event === "started") showProgress({ message: "Developing …" });
  if (event === "progress") showProgress(data);
  if (event === "retrying") showProgress({ message: `${data.error.message}; trying again soon.` });
  if (event === "completed") showAlbum(data.result);
  if (event === "failed") complain(data.error.message);
  if (event === "cancelled") complain("It was cancelled.");
  if (event === "expired") complain("It had not begun in time.");
}

function showLink(state, seconds) {
  if (state === "waiting") showProgress({ message: `Connection lost; trying again in ${Math.ceil(seconds)} s.` });
  if (state === "missing") complain("There is no such album any more.");
}

function showProgress({ done, total, message }) {
  const bar = element("progress");
  if (total) {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
  element("status").textContent = message;
}

function showAlbum({ thumbnails, contact_sheet: sheet }) {
  const images = thumbnails.map((url, index) => {
    const image = document.createElement("img");
    image.src = url;
    image.alt = `Photograph ${index + 1}`;
    return image;
  });
  element("thumbnails").replaceChildren(...images);
  element("sheet").src = sheet;
  element("sheet-link").href = sheet;
  element("album").hidden = false;
  showProgress({ done: 1, total: 1, message: "Done." });
}

function complain(text) {
  element("work").hidden = true;
  element("problem").hidden = false;
  element("problem").textContent = text;
}

if (location.hash.length > 1) watch(location.hash.slice(1));
