"use strict";
// Draws the figures of the page and keeps them in step with its controls. A chart is
// drawn when it comes near the view, or when the browser has nothing else to do.

const figures = JSON.parse(document.getElementById("figures").textContent);
const charts = [...document.querySelectorAll(".chart")];
const stale = new Set();
const near = new Set();
const hidden = new Set();
const state = { axis: "seconds", workload: "0", whole: false };
let before = null; // what to go back to once the page has been printed
const coarse = matchMedia("(pointer: coarse)").matches;

function figureOf(chart) {
  const name = chart.dataset.figure.replace(/\{(\w+)\}/g, (_, key) => state[key]);
  return structuredClone(figures[name]);
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function draw(chart) {
  stale.delete(chart);
  const { data, layout } = figureOf(chart);
  const [ink, grid, card] = ["--ink", "--line", "--card"].map(color);
  const family = getComputedStyle(document.body).fontFamily;
  layout.font = { color: ink, family, size: 12.5 };
  layout.hoverlabel = { bgcolor: card, bordercolor: grid, font: { color: ink } };
  layout.dragmode = coarse ? false : "zoom"; // a finger scrolls the page
  for (const axis of [layout.xaxis, layout.yaxis]) axis.gridcolor = grid;
  for (const shape of layout.shapes || []) shape.line.color = ink;
  if (state.whole && chart.dataset.figure.startsWith("curves")) {
    delete layout.yaxis.range;
  }
  if (before) layout.width = chart.clientWidth;
  for (const trace of data) trace.visible = !hidden.has(trace.legendgroup);
  Plotly.react(chart, data, layout, {
    responsive: true,
    displaylogo: false,
    displayModeBar: coarse ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  });
}

function drawSome(deadline) {
  for (const chart of stale) {
    if (deadline.timeRemaining() < 5 && !deadline.didTimeout) break;
    draw(chart);
  }
  if (stale.size) requestIdleCallback(drawSome, { timeout: 2000 });
}

function redraw(chosen = charts) {
  for (const chart of chosen) stale.add(chart);
  for (const chart of chosen) if (near.has(chart)) draw(chart);
  requestIdleCallback(drawSome, { timeout: 2000 });
}

function chartsWith(text) {
  return charts.filter((chart) => chart.dataset.figure.includes(text));
}

function show(submission, visible) {
  hidden[visible ? "delete" : "add"](submission);
  for (const button of legend) {
    if (button.dataset.submission === submission) {
      button.setAttribute("aria-pressed", String(visible));
    }
  }
}

function choose(name, value, chosen) {
  state[name] = value;
  redraw(chosen);
}

// Colours: as the system, or as chosen.
const THEMES = { auto: "as the system", light: "light", dark: "dark" };
const themeButton = document.getElementById("theme");
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  themeButton.textContent = `\u25d0 ${theme[0].toUpperCase()}${theme.slice(1)}`;
  themeButton.setAttribute("aria-label", `Colours: ${THEMES[theme]}`);
  redraw();
}
themeButton.addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const now = document.documentElement.dataset.theme || "auto";
  setTheme(names[(names.indexOf(now) + 1) % names.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());

const legend = [...document.querySelectorAll("[data-submission]")];
for (const button of legend) {
  button.addEventListener("click", () => {
    const { submission } = button.dataset;
    show(submission, hidden.has(submission));
    redraw();
  });
}
for (const [id, visible] of [["all", true], ["none", false]]) {
  document.getElementById(id).addEventListener("click", () => {
    for (const button of legend) show(button.dataset.submission, visible);
    redraw();
  });
}

for (const input of document.querySelectorAll("input[name=axis]")) {
  input.addEventListener("change", () => {
    choose("axis", input.value, chartsWith("{axis}"));
  });
}
const workloads = [...document.querySelectorAll("input[name=workload]")];
for (const input of workloads) {
  input.addEventListener("change", () => {
    choose("workload", input.value, chartsWith("{workload}"));
  });
}
for (const link of document.querySelectorAll("a[data-workload]")) {
  link.addEventListener("click", () => {
    workloads[Number(link.dataset.workload)].click();
  });
}
document.getElementById("whole").addEventListener("change", (event) => {
  choose("whole", event.target.checked, chartsWith("{workload}"));
});

// Paper is white, as wide as it is, and cannot unfold anything.
addEventListener("beforeprint", () => {
  const closed = [...document.querySelectorAll("details:not([open])")];
  before = { theme: document.documentElement.dataset.theme || "auto", closed };
  for (const details of closed) details.open = true;
  document.body.classList.add("printing");
  setTheme("light");
  for (const chart of charts) draw(chart);
});
addEventListener("afterprint", () => {
  document.body.classList.remove("printing");
  for (const details of before.closed) details.open = false;
  const { theme } = before;
  before = null;
  setTheme(theme);
});

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      near[isIntersecting ? "add" : "delete"](target);
      if (isIntersecting && stale.has(target)) draw(target);
    }
  },
  { rootMargin: "300px" },
);
for (const chart of charts) observer.observe(chart);
redraw();
