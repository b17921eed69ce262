// Keeps the page fresh: asks for it anew every few seconds and changes in place what is different,
// so that focus, selection, scrolling and opened parts stay as they are. Without it the page
// reloads by itself.
"use strict";

(() => {
  const root = document.documentElement;
  const period = Number(root.dataset.refreshSeconds) * 1000;
  const patience = 2 * period;
  const shownWhenCopied = 2000;
  const pause = document.getElementById("pause");

  let timer = 0;
  let isPaused = false;
  let isAsking = false;

  // --- Changing in place ---------------------------------------------------------------------

  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);
  const nameOf = (node) => (keyOf(node) === null ? null : node.nodeName + " " + keyOf(node));

  function settle(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.hasAttribute("data-copied")) return; // it says so for a moment longer
    settleAttributes(old, fresh);
    settleChildren(old, fresh);
  }

  function settleAttributes(old, fresh) {
    const isUsers = (name) => name === "open" && old.nodeName === "DETAILS";
    for (const { name, value } of fresh.attributes) {
      if (!isUsers(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      if (!isUsers(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
  }

  // A node with a key is the one it was before, wherever it stands now; others go by their place.
  function settleChildren(old, fresh) {
    const wanted = [...fresh.childNodes];
    const names = new Set(wanted.map(nameOf));
    const known = new Map();
    for (const child of [...old.childNodes]) {
      const name = nameOf(child);
      if (name === null) continue;
      if (!names.has(name) || known.has(name)) child.remove();
      else known.set(name, child);
    }
    let at = old.firstChild;
    for (const next of wanted) {
      const name = nameOf(next);
      const match = name === null ? alike(at, next) : known.get(name);
      known.delete(name);
      if (!match) old.insertBefore(document.importNode(next, true), at);
      else if (match === at) at = at.nextSibling;
      else move(old, match, at);
      if (match) settle(match, next);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  function alike(at, next) {
    return at && nameOf(at) === null && at.nodeType === next.nodeType && at.nodeName === next.nodeName ? at : null;
  }

  function move(parent, node, before) {
    if (parent.moveBefore) parent.moveBefore(node, before); // keeps the focus
    else parent.insertBefore(node, before);
  }

  function take(fresh) {
    const focused = document.activeElement;
    settle(document.getElementById("main"), fresh.getElementById("main"));
    document.title = fresh.title;
    const icon = fresh.querySelector("link[rel=icon]").getAttribute("href");
    const shown = document.querySelector("link[rel=icon]");
    if (shown.getAttribute("href") !== icon) shown.setAttribute("href", icon);
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  }

  // --- Asking --------------------------------------------------------------------------------

  async function ask() {
    // Written out whole: the address that was opened may have a password in it, which is refused here.
    const answer = await fetch(location.origin + location.pathname, {
      headers: { Accept: "text/html" },
      cache: "no-store",
      signal: AbortSignal.timeout(patience),
    }).catch(() => {
      throw new Error("The relay does not answer");
    });
    const text = await answer.text().catch(() => {
      throw new Error("The relay stopped in the middle of its answer");
    });
    if (!answer.ok) throw new Error(`The relay answers ${answer.status} instead of this page`);
    const fresh = new DOMParser().parseFromString(text, "text/html");
    if (!fresh.documentElement.dataset.edition || !fresh.getElementById("main")) {
      throw new Error("Something else answers in place of the relay");
    }
    return fresh;
  }

  async function refresh() {
    clearTimeout(timer);
    if (isPaused || isAsking || document.hidden) return;
    isAsking = true;
    try {
      const fresh = await ask();
      if (fresh.documentElement.dataset.edition !== root.dataset.edition) {
        location.reload(); // another version: its script and style with it
        return;
      }
      if (isPaused) return;
      take(fresh);
      root.classList.remove("silent");
    } catch (fault) {
      tellSilence(fault.message);
    } finally {
      isAsking = false;
      timer = setTimeout(refresh, period);
    }
  }

  // Said once and then left alone: a screen reader speaks each change.
  function tellSilence(words) {
    const silence = document.getElementById("silence");
    const known = document.querySelector("main .made time").textContent;
    const said = `${words}. It is asked again and again; what stands here is from ${known}.`;
    if (silence.textContent !== said) silence.textContent = said;
    silence.hidden = false;
    root.classList.add("silent");
    if (!document.title.startsWith("No answer")) document.title = `No answer · ${document.title}`;
  }

  // --- Copying -------------------------------------------------------------------------------

  async function copy(button) {
    const source = document.getElementById(button.dataset.copies);
    const selection = getSelection();
    let word = "Copied";
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // Not over plain HTTP from elsewhere, and not when forbidden: then it is at least selected.
      selection.selectAllChildren(source);
      if (!document.execCommand("copy")) word = "Selected";
    }
    tellCopied(button, word);
  }

  function tellCopied(button, word) {
    const label = button.firstChild;
    if (!button.hasAttribute("data-copied")) button.setAttribute("data-copied", label.nodeValue);
    label.nodeValue = word;
    setTimeout(() => {
      if (!button.hasAttribute("data-copied")) return;
      label.nodeValue = button.getAttribute("data-copied");
      button.removeAttribute("data-copied");
    }, shownWhenCopied);
  }

  // --- The reader ----------------------------------------------------------------------------

  // A link to something within a closed part opens it.
  function openTarget() {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.nodeName === "DETAILS") target.open = true;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copies]");
    if (button) copy(button);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("a[href^='#']")) setTimeout(openTarget);
  });
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.firstChild.textContent = isPaused ? "Resume" : "Pause";
    root.classList.toggle("paused", isPaused);
    if (!isPaused) refresh();
  });
  document.addEventListener("visibilitychange", refresh);

  root.classList.add("live");
  openTarget();
  timer = setTimeout(refresh, period);
})();
