// Shows what the server says. Every text comes ready from there: amounts are texts and stay texts, and the time that is left is
// counted down from what the server's clock says. Without this script the page works, and is as old as its last reload.
"use strict";

(() => {
  const LINES = 60;
  // The server says something every 20 seconds; a connection that is silent for longer is dead.
  const SILENCE = 45_000;

  // The instants in a page, in the time of whoever reads it.
  const readable = (time) => {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.textContent = at.toLocaleTimeString();
  };
  document.querySelectorAll("time").forEach(readable);

  const page = document.getElementById("auction");
  if (!page) return;
  const part = (id) => document.getElementById(id);
  const history = part("history");
  const forms = [...page.querySelectorAll("form[data-sends]")];

  // Says something without moving the focus. The same text is heard again only if it was gone in between.
  const timers = {};
  const say = (place, text) => {
    clearTimeout(timers[place]);
    part(place).textContent = "";
    if (text) timers[place] = setTimeout(() => { part(place).textContent = text; }, 50);
  };

  // What is to be seen now.

  let phase = null;
  let led = false;
  let end = performance.now() + Number(page.dataset.left);
  let seen = Number(page.dataset.seq);

  const show = (shown) => {
    // An answer to a form and a message can pass each other.
    if (shown.seq < seen) return;
    seen = shown.seq;
    for (const place of page.querySelectorAll("[data-show]")) {
      const text = shown[place.dataset.show] ?? "";
      if (place.textContent !== text) place.textContent = text;
    }
    part("result").hidden = !shown.result;
    const focused = document.activeElement;
    for (const form of forms) {
      form.hidden = !shown[form.dataset.needs];
      // Whoever was in a form that is gone would be nowhere.
      if (form.hidden && form.contains(focused)) part(shown.result ? "result" : "main").focus();
    }
    // Whoever leads is outbid no longer.
    if (shown.leads && !led) say("error", "");
    led = shown.leads;
    if (phase !== null && phase !== shown.phase && shown.result) say("status", shown.result);
    phase = shown.phase;
    end = performance.now() + shown.left_ms;
    tick();
  };

  // The clock.

  const WARNINGS = [60, 10];
  let before = null;

  function tick() {
    const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    const two = (number) => String(number).padStart(2, "0");
    const [hours, minutes, seconds] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
    const text = hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
    const clock = part("clock");
    if (clock.textContent !== text) clock.textContent = text;
    const due = WARNINGS.find((warning) => before > warning && left <= warning && left > 0);
    if (due && phase === "running") say("status", `${due} seconds left.`);
    before = left;
  }
  setInterval(tick, 250);

  // What happens.

  // The last event that was told; without an index, all of its command were.
  let told = { seq: seen, index: null };

  const isNew = (event) =>
    event.seq > told.seq || (event.seq === told.seq && told.index !== null && event.index > told.index);

  const addLine = (event, text, isPrivate) => {
    const line = document.createElement("li");
    const time = document.createElement("time");
    time.dateTime = event.at;
    readable(time);
    const words = document.createElement("span");
    words.textContent = text;
    line.append(time, " ", words);
    if (isPrivate) {
      line.className = "private";
      const note = document.createElement("em");
      note.textContent = "Only you see this.";
      line.append(" ", note);
    }
    history.prepend(line);
    while (history.children.length > LINES) history.lastElementChild.remove();
  };

  const tell = ({ event, text, is_private: isPrivate }) => {
    if (!isNew(event)) return true;
    // A number is missing: it is asked for, from the last one that is known.
    if (event.seq > told.seq + 1) return false;
    told = { seq: event.seq, index: event.index };
    if (text) {
      addLine(event, text, isPrivate);
      // The answer to a form has shown it already, and said what came of it.
      const isShown = event.seq <= seen;
      // Being outbid is for whoever was; it interrupts what is being read.
      if (event.type === "outbid") {
        if (!isShown || !led) say("error", text);
      } else if (!isShown) {
        say("status", text);
      }
    }
    return true;
  };

  // The connection.

  let socket = null;
  let pause = 500;
  let silence = 0;
  let retry = 0;

  const listen = () => {
    clearTimeout(silence);
    silence = setTimeout(connect, SILENCE);
  };

  function connect() {
    clearTimeout(retry);
    // A dead connection takes long to close: it is left behind.
    const old = socket;
    socket = null;
    old?.close();
    const address = new URL(page.dataset.live, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("since", told.seq);
    if (told.index !== null) address.searchParams.set("index", told.index);
    const opened = new WebSocket(address);
    socket = opened;
    listen();
    opened.onmessage = ({ data }) => {
      if (socket !== opened) return;
      listen();
      pause = 500;
      part("connection").hidden = true;
      const news = JSON.parse(data);
      if (news.kind === "shown") show(news.shown);
      else if (news.kind === "event" && !tell(news)) connect();
    };
    opened.onclose = ({ code }) => {
      if (socket !== opened) return;
      socket = null;
      clearTimeout(silence);
      part("connection").hidden = false;
      if (code === 1008) {
        part("connection").textContent = "Your session has ended. Sign in again to see what happens.";
        return;
      }
      part("connection").textContent = "The connection is lost. What you see may be old. Trying again; if that lasts, reload the page.";
      // Not all pages at once when a server comes back.
      retry = setTimeout(connect, pause * (0.5 + Math.random()));
      pause = Math.min(pause * 2, 10_000);
    };
  }
  connect();

  // A phone that has slept comes back to an old clock, and maybe to a dead connection.
  document.addEventListener("visibilitychange", () => { if (!document.hidden) connect(); });
  addEventListener("pageshow", ({ persisted }) => { if (persisted) connect(); });

  // The forms.

  const send = async (form) => {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    });
    const isOurs = answer.headers.get("Content-Type")?.startsWith("application/json");
    if (!isOurs) throw new Error(`${answer.status}`);
    return { ok: answer.ok, ...(await answer.json()) };
  };

  const submit = async (form) => {
    const amount = form.elements.amount;
    amount?.removeAttribute("aria-invalid");
    say("error", "");
    say("status", "");
    try {
      const { ok, text, key, shown } = await send(form);
      // What is sent next is something else. After a refusal the server gives the same key back.
      for (const each of forms) each.elements.key.value = key;
      show(shown);
      say(ok ? "status" : "error", text);
      if (amount && ok) amount.value = "";
      if (amount && !ok) {
        amount.setAttribute("aria-invalid", "true");
        amount.focus();
      }
    } catch (failure) {
      // The key stays: sent again, it counts once.
      say("error", failure instanceof TypeError
        ? "The connection was lost, and nobody knows whether this counts. Send it again: it counts once."
        : `That did not work (${failure.message}). Reload the page, and try again.`);
    }
  };

  for (const form of forms) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button");
      // Not `disabled`, which would take the focus away.
      if (button.getAttribute("aria-disabled") === "true") return;
      button.setAttribute("aria-disabled", "true");
      await submit(form);
      button.removeAttribute("aria-disabled");
    });
  }
})();
