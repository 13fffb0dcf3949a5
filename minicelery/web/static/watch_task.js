/** Follows a task over the WebSocket of Mini-Celery. A module for any page: it has no dependencies. */

const ENDED = 1000;
const NO_SUCH_TASK = 4404;
const FIRST_PAUSE = 500; // milliseconds
const LONGEST_PAUSE = 30_000;

/**
 * Watch a task until its end; returns a function that stops watching.
 *
 * `api` is the URL under which the API is mounted, such as `new URL("queue/", location.href)`.
 * `onFrame(frame, text)` gets each `{event, data}`, and the text it came as.
 * `onLink(state, seconds)` is told how the connection fares: "connecting", "open", "waiting" (lost or refused; the next
 * attempt follows in so many seconds), and last "ended" or "missing" (there is no such task).
 *
 * After a reconnection the first frame is `connected` again, with the task as it is by then.
 */
export function watchTask(api, taskId, { onFrame, onLink = () => {} }) {
  const url = new URL(`ws/tasks/${encodeURIComponent(taskId)}`, api);
  url.protocol = url.protocol.replace("http", "ws");
  let socket, timer, failures = 0, stopped = false;

  function connect() {
    onLink("connecting");
    socket = new WebSocket(url);
    socket.onopen = () => stopped || onLink("open");
    socket.onmessage = ({ data: text }) => {
      if (stopped) return;
      failures = 0;
      onFrame(JSON.parse(text), text);
    };
    socket.onclose = ({ code }) => stopped || leave(code);
  }

  function leave(code) {
    if (code === ENDED) return onLink("ended");
    if (code === NO_SUCH_TASK) return onLink("missing");
    // A random part of a growing pause, so that not all pages come back to a restarted server at once.
    const pause = (0.1 + 0.9 * Math.random()) * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures++);
    timer = setTimeout(connect, pause);
    return onLink("waiting", pause / 1000);
  }

  connect();
  return () => {
    stopped = true;
    clearTimeout(timer);
    socket.close();
  };
}
