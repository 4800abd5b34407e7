// Charts by Plotly, whose script comes from a Python package and is loaded when the first chart is drawn. Plotly writes
// its styles into the sheet with the id `plotly.js-style-global`; the page's policy refuses the styles of its maps.

import { isRecorded, knows, shareOf, UNKNOWN } from "./dom.js";

let loading = null;

function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "page/plotly.min.js";
    script.addEventListener("load", () => resolve(globalThis.Plotly));
    script.addEventListener("error", () => {
      loading = null;
      reject(new Error("The charts could not be loaded."));
    });
    document.head.append(script);
  });
  return loading;
}

/** Return the page's present colours, because Plotly does not resolve CSS variables. */
function colours() {
  const probe = document.body.appendChild(document.createElement("i"));
  const of = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const found = { ink: of("--ink"), faint: of("--faint"), line: of("--line"), paper: of("--paper") };
  probe.remove();
  return found;
}

/** Convert event times to dates for Plotly; match time of recorded footage becomes a date in 1970. */
const times = (moods) => moods.map((mood) => new Date(mood.as_of).toISOString());

function layout(moods, more = {}) {
  const { ink, faint, line, paper } = colours();
  const recorded = moods.length && isRecorded(Date.parse(moods[0].as_of));
  return {
    margin: { l: 44, r: 8, t: 8, b: 32 },
    paper_bgcolor: paper,
    plot_bgcolor: paper,
    font: { color: ink, family: "system-ui, sans-serif", size: 12 },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink } },
    xaxis: {
      type: "date",
      tickformat: recorded ? "%M:%S" : "%H:%M:%S",
      gridcolor: line,
      linecolor: faint,
      fixedrange: true,
    },
    yaxis: { range: [0, 1], tickformat: ".0%", gridcolor: line, zeroline: false, fixedrange: true },
    ...more,
  };
}

const OPTIONS = { displayModeBar: false, responsive: true };

async function draw(place, traces, shown) {
  const Plotly = await plotly();
  await Plotly.react(place, traces, shown, OPTIONS);
  // The window may have been resized while the view was hidden.
  if (place.querySelector("svg").clientWidth !== place.clientWidth) Plotly.Plots.resize(place);
}

/**
 * Draw shares of people over time as stacked areas, with a gap for each mood without figures.
 *
 * @param {Element} place The element to draw into.
 * @param {object[]} moods Moods, oldest first.
 * @param {object} display Colours and order of the labels.
 * @param {{changes?: object[], at?: string}} marks Changes, drawn as dashed lines, and the selected time.
 */
export async function stacked(place, moods, display, { changes = [], at = null } = {}) {
  const x = times(moods);
  const traces = display.stacked.map((label) => ({
    x,
    y: moods.map((mood) => mood.shares?.[label] ?? null),
    name: label,
    stackgroup: "shares",
    stackgaps: "infer zero",
    mode: "lines",
    line: { width: 0, color: display.colours[label] },
    fillcolor: display.colours[label],
    text: moods.map((mood) => (mood.shares ? shareOf(mood, label) : "withheld")),
    hovertemplate: "%{text}",
  }));
  const { ink } = colours();
  const line = (when, dash) => ({
    type: "line",
    x0: when,
    x1: when,
    y0: 0,
    y1: 1,
    line: { color: ink, width: 1.5, dash },
  });
  const shapes = changes
    .filter((change) => x.length && change.as_of >= x[0] && change.as_of <= x.at(-1))
    .map((change) => line(change.as_of, "dash"));
  if (at) shapes.push(line(at, "solid"));
  await draw(place, traces, layout(moods, { shapes }));
}

/** Draw each label's share as a line within its 90 % interval, one panel per label. */
export async function intervals(place, moods, display) {
  const withShares = moods.filter((mood) => mood.shares);
  const shown = [...display.stacked].reverse();
  const panels = layout(withShares, {
    grid: {
      ...(place.clientWidth < 700 ? { rows: 4, columns: 2 } : { rows: 2, columns: 4 }),
      pattern: "independent",
      ygap: 0.35,
    },
    hovermode: "closest",
    annotations: [],
  });
  const traces = [];
  const top = Math.min(1, Math.ceil(Math.max(0.1, ...withShares.flatMap((mood) => Object.values(mood.high))) * 10) / 10);
  shown.forEach((label, panel) => {
    const axis = panel ? String(panel + 1) : "";
    const known = withShares.filter((mood) => knows(mood, label));
    const x = times(known);
    const bounds = {
      x: [...x, ...x.toReversed()],
      y: [...known.map((mood) => mood.high[label]), ...known.map((mood) => mood.low[label]).reverse()],
    };
    const on = { xaxis: `x${axis}`, yaxis: `y${axis}`, mode: "lines" };
    traces.push({
      ...bounds,
      ...on,
      fill: "toself",
      fillcolor: `${display.colours[label]}55`,
      line: { width: 0 },
      hoverinfo: "skip",
    });
    traces.push({
      x,
      y: known.map((mood) => mood.shares[label]),
      ...on,
      line: { color: display.colours[label], width: 2 },
      name: label,
      hovertemplate: "%{y:.0%}",
    });
    panels[`xaxis${axis}`] = { ...panels.xaxis, nticks: 3 };
    panels[`yaxis${axis}`] = { ...panels.yaxis, range: [0, top], nticks: 4 };
    panels.annotations.push({
      text: known.length || !withShares.length ? label : `${label}: ${UNKNOWN}`,
      xref: `x${axis} domain`,
      yref: `y${axis} domain`,
      x: 0,
      y: 1,
      yshift: 2,
      showarrow: false,
      xanchor: "left",
      yanchor: "bottom",
    });
  });
  panels.margin = { ...panels.margin, t: 24 };
  await draw(place, traces, panels);
}

/** Return a chart as a PNG file. */
export async function png(place, width = 1600, height = 600) {
  const Plotly = await plotly();
  const address = await Plotly.toImage(place, { format: "png", width, height });
  return new Blob([Uint8Array.from(atob(address.split(",")[1]), (letter) => letter.charCodeAt(0))], {
    type: "image/png",
  });
}
