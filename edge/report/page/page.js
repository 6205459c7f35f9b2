"use strict";
(() => {
  // Strings of devices and files reach the page as text alone: no markup is ever made of them.
  const AXES = ["device", "model", "framework", "backend", "precision", "batch", "verdict"];
  const MOST_SERIES = 12;
  const PAPER = 680; // pixels of an A4 or letter page within its margins
  const WIDE = 5; // times the median: outliers so far up take a logarithmic axis
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "star", "pentagon", "hexagon"];
  const INKS = {
    light: ["#0757b0", "#b34700", "#116329", "#8a2a8f", "#a40e26", "#5c5200", "#006a70", "#6e3b1f"],
    dark: ["#7ab7ff", "#ffae70", "#7ee2a0", "#e3a3ea", "#ff9aa8", "#e0d060", "#6fdbe0", "#d7a58a"],
  };
  const state = { doc: null, sort: "", down: false, chosen: "", printing: false };
  // Measurements in a plot or a table (the overview has all), and bars in a plot.
  const mostDrawn = () => (state.doc.whole ? Infinity : 200), mostBars = () => (state.doc.whole ? 40 : 20);
  const $ = (id) => document.getElementById(id);

  // --- text and elements

  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "onclick") made.addEventListener("click", value);
      else if (value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
    return made;
  }
  const put = (id, ...children) => $(id).replaceChildren(...children);
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;"); // plotly's labels know some tags
  const figure = (value, digits = 3) =>
    value === null || value === undefined ? "" : Math.abs(value) >= 1000
      ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
  const counted = (all) => all.length.toLocaleString("en");
  const percent = (found) => (found ? `${figure(100 * found.share)} %` : "");
  function estimate(found, samples) {
    if (!found) return `- (n=${samples})`;
    const width = found.half === null ? "" : ` ${found.approximate ? "~" : "±"}${figure(found.half, 2)}`;
    return figure(found.ms) + width;
  }
  const again = (section, ...commands) =>
    document.querySelector(`#${section} .again`).replaceChildren(
      ...commands.filter(Boolean).flatMap((one, index) => [index ? " · " : "Made again by ", el("code", {}, one)]));

  // --- which measurements

  const chosenOf = (axis) => $(`filter-${axis}`).value;
  const words = (cell) => [...AXES.map((axis) => cell[axis]), cell.size, cell.pattern, cell.id, ...cell.special]
    .join(" ").toLowerCase();
  function shown() {
    const wanted = $("search").value.trim().toLowerCase();
    return state.doc.cells.filter((cell) =>
      AXES.every((axis) => !chosenOf(axis) || String(cell[axis]) === chosenOf(axis))
      && (!wanted || words(cell).includes(wanted)));
  }
  const nothing = (cells, why) => (cells.length && !drawable(cells).length
    ? "All of these are INVALID, and are drawn when the box above is ticked." : why);
  const drawable = (cells) => cells.filter((cell) => $("invalid").checked || cell.verdict !== "INVALID");
  function compareValues(a, b) {
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  }
  const unique = (values) => [...new Set(values)].sort(compareValues);

  function drawFilters() {
    const kept = Object.fromEntries(AXES.map((axis) => [axis, $(`filter-${axis}`) ? chosenOf(axis) : ""]));
    const focused = document.activeElement && document.activeElement.id;
    put("choices", ...AXES.map((axis) => {
      const values = unique(state.doc.cells.map((cell) => cell[axis]));
      const select = el("select", { id: `filter-${axis}` }, el("option", { value: "" }, "all"),
        ...values.map((value) => el("option", { value: String(value) }, value)));
      select.value = values.map(String).includes(kept[axis]) ? kept[axis] : "";
      return el("label", {}, axis, select);
    }));
    if (focused && focused.startsWith("filter-")) $(focused).focus();
  }

  // --- tables

  const COLUMNS = [
    ["device", (c) => c.device], ["model", (c) => c.model], ["framework", (c) => c.framework],
    ["backend", (c) => c.backend], ["precision", (c) => c.precision], ["batch", (c) => c.batch, (c) => c.batch],
    ["size", (c) => c.size], ["pattern", (c) => (c.pattern === "serial" ? "" : c.pattern)], ["special", (c) => c.special.join(", ")],
    ["median ms", (c) => estimate(c.median, c.samples), (c) => c.median && c.median.ms],
    ["p99 ms", (c) => estimate(c.p99, c.samples), (c) => c.p99 && c.p99.ms],
    ["images/s", (c) => figure(c.per_s), (c) => c.per_s],
    ["J/image", (c) => figure(c.joules), (c) => c.joules],
    ["first answer s", (c) => (usual(c) ? toldStart(usual(c)) : ""), (c) => (usual(c) ? usual(c).s : null)],
    ["per million", (c) => money(c.cost, c.cost.million), (c) => (c.cost.why ? null : c.cost.million)],
    ["top-1", (c) => percent(c.top1), (c) => c.top1 && c.top1.share],
    ["top-5", (c) => percent(c.top5), (c) => c.top5 && c.top5.share],
    ["late", (c) => percent(c.late), (c) => c.late && c.late.share],
    ["× floor", (c) => figure(c.floor.times, 2), (c) => c.floor.times],
    ["verdict", (c) => c.verdict], ["why", (c) => reasons(c)],
  ];
  const FIGURES = ["median ms", "p99 ms", "images/s", "J/image", "first answer s", "per million", "top-1", "top-5", "late", "× floor"];
  const money = (cost, amount) => (cost.why ? "" : `${figure(amount)} ${cost.currency}`);
  const toldStart = (one) => `${figure(one.s)}${one.half === null ? "" : ` ±${figure(one.half, 2)}`} ${one.name}`;
  const usual = (cell) => cell.loading.starts.reduce((a, b) => (a && a.processes > b.processes ? a : b), null);
  function reasons(cell) {
    const broken = cell.findings.filter((one) => one.broken);
    if (broken.length) return broken.map((one) => `${one.rule}: ${one.reason}`).join("; ");
    const open = unique(cell.findings.map((one) => one.rule));
    const flags = unique(cell.flags.map((one) => one.name));
    return [open.length ? `not judged: ${open.join(", ")}` : "", flags.length ? `flags: ${flags.join(", ")}` : ""]
      .filter(Boolean).join("; ");
  }
  function sorted(cells) {
    const column = COLUMNS.find(([name]) => name === state.sort);
    if (!column) return cells;
    const of = column[2] || column[1];
    const known = cells.filter((cell) => of(cell) !== null && of(cell) !== undefined);
    const rest = cells.filter((cell) => of(cell) === null || of(cell) === undefined);
    known.sort((a, b) => (state.down ? -1 : 1) * compareValues(of(a), of(b)));
    return [...known, ...rest];
  }
  function sortBy(name) {
    state.down = state.sort === name && !state.down;
    state.sort = name;
    drawRows(shown());
    $("rows").querySelector(`button[data-column="${CSS.escape(name)}"]`).focus();
  }
  function head(name, numeric) {
    const sort = state.sort === name ? (state.down ? "descending" : "ascending") : "none";
    const press = el("button", { type: "button", "data-column": name, onclick: () => sortBy(name) }, name);
    return el("th", { scope: "col", "aria-sort": sort, class: numeric ? "number" : null }, press);
  }
  function valueCell(cell, [name, text, number]) {
    const told = text(cell);
    if (name === "verdict") return el("td", { class: `verdict-${cell.verdict}` }, told);
    if (name === "why") return el("td", { class: "why" }, told);
    const struck = cell.verdict === "INVALID" && FIGURES.includes(name) && told;
    return el("td", { class: number ? "number" : "name" }, struck ? el("s", {}, told) : told);
  }
  function drawRows(all) {
    const cells = sorted(all).slice(0, mostDrawn());
    const columns = COLUMNS.filter(([, text]) => cells.some((cell) => text(cell) !== ""));
    const rows = cells.map((cell) => el("tr", { class: cell.verdict, "data-id": cell.id },
      el("td", {}, el("button", {
        type: "button", "aria-label": `Look at ${cell.device} ${cell.label}`, onclick: () => choose(cell.id, true),
      }, cell.id.slice(0, 8))),
      ...columns.map((column) => valueCell(cell, column))));
    put("rows", el("caption", {}, `${cells.length < all.length ? `The first ${cells.length} in this order of ` : ""}${counted(all)} measurements; - (n=…): that many samples do not support the figure`),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "look at"), ...columns.map(([name, , number]) => head(name, number)))),
      el("tbody", {}, ...rows));
    again("measurements", state.doc.command);
  }
  function table(id, caption, headers, rows) {
    $(id).classList.toggle("empty", !rows.length);
    put(id, el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...headers.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((value, index) =>
        index ? el("td", {}, value) : el("th", { scope: "row" }, value))))));
  }

  // --- the overview

  function drawMatrix(cells) {
    const models = unique(cells.map((cell) => cell.model)), places = new Map(grouped(cells, (cell) => cell.device));
    const devices = unique(places.keys()), some = devices.slice(0, mostDrawn());
    table("matrix", `Devices by models${some.length < devices.length ? `: the first ${some.length} of ${devices.length} devices` : ""}`,
      ["device", ...models], some.map((device) => {
        const its = new Map(grouped(places.get(device), (cell) => cell.model));
        return [device, ...models.map((model) => best(its.get(model) || []))];
      }));
  }
  function best(cells) {
    if (!cells.length) return el("span", { class: "soft" }, "-");
    const valid = cells.filter((cell) => cell.verdict === "VALID");
    const sound = valid.length ? valid : cells.filter((cell) => cell.verdict === "UNJUDGED");
    if (!sound.length) return el("span", { class: "verdict-INVALID" }, "INVALID only");
    const told = el("div", {});
    const fast = leading(sound, (cell) => (cell.median ? -cell.median.ms : null));
    const most = leading(sound, (cell) => cell.per_s);
    if (fast) told.append(el("div", {}, `${estimate(fast.median)} ms · `, how(fast)));
    if (most) told.append(el("div", {}, `${figure(most.per_s)} images/s · `, how(most)));
    const cheap = leading(sound, (cell) => (cell.cost.why ? null : -cell.cost.million));
    if (cheap) told.append(el("div", {}, `${money(cheap.cost, cheap.cost.million)} a million images · `, how(cheap)));
    if (!valid.length) told.append(el("div", { class: "soft" }, "UNJUDGED"));
    return told;
  }
  const how = (cell) => el("span", { class: "soft" }, `batch ${cell.batch}, ${cell.backend} ${cell.precision}, ${cell.framework}`);
  function leading(cells, of) {
    const known = cells.filter((cell) => of(cell) !== null);
    return known.length ? known.reduce((a, b) => (of(b) > of(a) ? b : a)) : null;
  }

  // --- plots

  const isDark = () => !state.printing && matchMedia("(prefers-color-scheme: dark)").matches;
  const inks = () => INKS[isDark() ? "dark" : "light"];
  function layout(more, series = 0) {
    const [ink, line] = isDark() ? ["#e6e9ed", "#3a424b"] : ["#1b1f24", "#d0d7de"];
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true };
    const found = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 13 },
      margin: { l: 55, r: 12, t: 10, b: 45 }, height: 380 + (series <= MOST_SERIES ? 22 * series : 0), hovermode: "closest", dragmode: false,
      showlegend: series > 1 && series <= MOST_SERIES, legend: { orientation: "v", x: 0, y: -0.3, yanchor: "top" },
      colorway: inks(), hoverlabel: { align: "left" }, ...(state.printing ? { width: PAPER } : { autosize: true }),
    };
    for (const [name, value] of Object.entries(more)) found[name] = /^[xy]axis/.test(name) ? { ...axis, ...value } : value;
    for (const name of ["xaxis", "yaxis"]) if (!found[name]) found[name] = { ...axis };
    return found;
  }
  function draw(id, label, traces, more, series = 0) {
    const place = $(id);
    waiting.delete(id);
    if (!traces.length) {
      if (place.data) Plotly.purge(place);
      place.removeAttribute("role");
      place.removeAttribute("aria-label");
      place.replaceChildren(el("p", { class: "soft" }, label));
      return;
    }
    if (!place.data) place.replaceChildren();
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", label);
    const go = () => Plotly.react(place, traces, layout(more, series), { responsive: true, displaylogo: false, displayModeBar: false });
    if (state.doc.whole || state.printing) go();
    else later(id, go);
  }
  // Of many measurements, a plot at a time once the rest has been painted; one that is asked for anew meanwhile is drawn once.
  const waiting = new Map();
  function later(id, go) {
    if (!waiting.size) requestAnimationFrame(() => setTimeout(() => { performance.mark("readable"); drawNext(); }));
    waiting.set(id, go);
  }
  function drawNext() {
    const [first] = waiting;
    if (first) {
      waiting.delete(first[0]);
      first[1]();
    }
    if (waiting.size) setTimeout(drawNext);
    else document.body.dataset.drawn = String(state.doc.cells.length);
  }

  // What tells series apart: of their axes only those in which they differ.
  const TELLING = ["device", "model", "framework", "backend", "precision", "size", "pattern"];
  function namer(cells, axes) {
    const varied = axes.filter((axis) => new Set(cells.map((cell) => String(cell[axis]))).size > 1);
    const special = new Set(cells.map((cell) => cell.special.join())).size > 1;
    return (cell) => [...varied.map((axis) => (axis === "batch" ? `batch ${cell.batch}` : cell[axis])),
      ...(special ? cell.special : [])].filter(Boolean).join(" ") || cell.model;
  }
  function grouped(cells, name) {
    const groups = new Map();
    for (const cell of cells) {
      const found = name(cell), its = groups.get(found);
      if (its) its.push(cell);
      else groups.set(found, [cell]);
    }
    return [...groups];
  }
  const look = (index) => ({ color: inks()[index % inks().length], symbol: SYMBOLS[index % SYMBOLS.length], size: 8 });
  const hover = (cell) => plain(`${cell.device} ${cell.label}`) + `<br>${estimate(cell.median, cell.samples)} ms, `
    + `${figure(cell.per_s)} images/s<br>${plain(cell.verdict)}`;
  const symbols = (cells, index) => ({ ...look(index), symbol: cells.map((cell) =>
    (cell.verdict === "INVALID" ? "x-thin-open" : look(index).symbol)) });

  function drawBatch(cells) {
    const known = drawable(cells).filter((cell) => cell.median);
    const groups = grouped(known, namer(known, TELLING));
    const traces = groups.map(([name, its], index) => {
      its.sort((a, b) => a.batch - b.batch);
      return {
        name: plain(name), x: its.map((cell) => cell.batch), y: its.map((cell) => cell.median.ms), text: its.map(hover),
        hoverinfo: "text", mode: "lines+markers", marker: symbols(its, index), line: { width: 1.5 },
        error_y: { type: "data", array: its.map((cell) => cell.median.half || 0), thickness: 1.2, width: 4 },
      };
    });
    const batches = unique(known.map((cell) => cell.batch));
    draw("plot-batch", traces.length ? `Median latency against batch size, ${traces.length} series; the figures are in the table of measurements`
      : nothing(cells, "No measurement that can be drawn has a latency."), traces, {
      xaxis: { title: { text: "batch size" }, type: "log", tickvals: batches, ticktext: batches.map(String) },
      yaxis: { title: { text: "median, ms" }, type: "log" },
    }, groups.length);
    put("batch-caption", "The median latency of a batch. Bars are 95 % intervals over processes; one process has none."
      + (groups.length > MOST_SERIES ? ` ${groups.length} series: point at one for its name, or filter.` : ""));
    again("batch", state.doc.command);
  }

  function front(cells) {
    let most = -Infinity;
    return [...cells].sort((a, b) => a.median.ms - b.median.ms || b.per_s - a.per_s)
      .filter((cell) => cell.verdict !== "INVALID" && cell.per_s > most && ((most = cell.per_s), true));
  }
  function drawPareto(cells) {
    const known = drawable(cells).filter((cell) => cell.median && cell.per_s !== null);
    const joules = known.map((cell) => cell.joules).filter((value) => value !== null);
    const size = (cell) => (cell.joules === null ? 9 : 7 + 15 * Math.sqrt(cell.joules / Math.max(...joules)));
    const groups = grouped(known, namer(known, ["device", "model"]));
    const traces = groups.flatMap(([name, its], index) => {
      const best = front(its), color = look(index).color;
      const points = {
        name: plain(name), legendgroup: name, x: its.map((cell) => cell.median.ms), y: its.map((cell) => cell.per_s),
        text: its.map((cell) => hover(cell) + (cell.joules === null ? "" : `<br>${figure(cell.joules)} J an image`)
          + (cell.top1 ? `<br>${cell.top1.told}` : "")),
        hoverinfo: "text", mode: "markers", marker: { ...symbols(its, index), size: its.map(size), opacity: 0.85 },
      };
      const line = {
        x: best.map((cell) => cell.median.ms), y: best.map((cell) => cell.per_s), mode: "lines", hoverinfo: "skip",
        showlegend: false, legendgroup: name, line: { color, width: 1.5, dash: "dot", shape: "hv" },
      };
      return [points, line];
    });
    draw("plot-pareto", traces.length ? `Images a second against median latency, ${known.length} measurements; the figures are in the table of measurements`
      : nothing(cells, "No measurement that can be drawn has both."), traces, {
      xaxis: { title: { text: "median latency of a batch, ms" }, type: "log" },
      yaxis: { title: { text: "images/s" }, type: "log" },
    }, groups.length);
    again("pareto", state.doc.command);
  }

  function drawDistribution(cells) {
    const known = drawable(cells).filter((cell) => cell.quantiles.length), some = known.slice(0, MOST_SERIES);
    const name = namer(some, [...TELLING, "batch"]);
    const traces = some.map((cell, index) => ({
      name: plain(name(cell)), x: cell.quantiles, y: cell.quantiles.map((_, place) => place / Math.max(cell.quantiles.length - 1, 1)),
      mode: "lines", line: { color: look(index).color, shape: "hv", dash: index < inks().length ? "solid" : "dash" },
      hovertemplate: "%{y:.1%} within %{x:.4g} ms<extra></extra>",
    }));
    draw("plot-ecdf", traces.length ? `Cumulative distribution of latencies, ${traces.length} measurements`
      : nothing(cells, "No measurement that can be drawn has samples."), traces, {
      xaxis: { title: { text: "latency, ms" }, type: "log" },
      yaxis: { title: { text: "share of inferences within" }, tickformat: ".0%", range: [0, 1.01] },
    }, traces.length);
    const more = known.length > some.length ? ` The first ${some.length} of ${known.length}: filters show others.` : "";
    put("ecdf-caption", `Of the raw samples, none left out: at height 90 % is the latency within which nine of ten inferences ended.${more}`);
    again("distribution", state.doc.command);
  }

  // --- one measurement

  function choose(id, jump) {
    state.chosen = id;
    drawOne(shown());
    if (jump) {
      $("one").scrollIntoView();
      $("chosen").focus();
    }
  }
  function drawOne(cells) {
    const chosen = cells.find((cell) => cell.id === state.chosen) || drawable(cells)[0] || cells[0], some = cells.slice(0, mostDrawn());
    if (chosen && !some.includes(chosen)) some.push(chosen);
    put("chosen", ...some.map((cell) => el("option", { value: cell.id }, `${cell.device} ${cell.label} · ${cell.id.slice(0, 8)} ${cell.verdict}`)));
    put("about");
    if (!chosen) return;
    $("chosen").value = chosen.id;
    const facts = [
      ["measured", `${chosen.started_at}, ${chosen.samples} samples of ${chosen.processes || "an unknown number of"} process${chosen.processes === 1 ? "" : "es"}`],
      ["verdict", chosen.verdict],
      ...chosen.findings.map((one) => [one.broken ? "broken" : "not judged", `${one.rule}: ${one.reason}`]),
      ...chosen.flags.map((one) => ["flag", `${one.name}: ${one.reason}`]),
      ["energy", chosen.joules === null ? `not known: ${chosen.energy}` : `${figure(chosen.joules)} J an image, ${figure(chosen.watts)} W (${chosen.energy})`],
      ...(chosen.top1 ? [["accuracy", chosen.top1.told]] : []),
      ...(chosen.late ? [["late answers", chosen.late.told]] : []),
      ["precision", precisionOf(chosen)],
      ["floor", floorOf(chosen)],
    ];
    put("about", el("dl", {}, ...facts.flatMap(([name, told]) => [el("dt", {}, name), el("dd", {}, told)])));
    drawTime(chosen);
    table("percentiles", "Percentiles of all samples", ["percentile", "ms", "samples that it needs"],
      chosen.percentiles.map((one) => [`p${one.p}`, one.ms === null ? "not supported" : figure(one.ms, 4), one.needs.toLocaleString("en")]));
    table("slowest", chosen.slowest.length ? "By their share of all layers' time" : state.doc.whole ? "The runtime timed no layers." : TOO_MANY,
      chosen.slowest.length ? ["layer", "precision", "share"] : [],
      chosen.slowest.map((one) => [one.name, one.precision, `${figure(100 * one.share)} %`]));
    again("one", chosen.again, `edgebench results show ${chosen.id}`);
  }
  function precisionOf(cell) {
    if (!cell.layers) return "the runtime does not tell that of its layers";
    const of = cell.layers.by_time ? "time" : "layers";
    return cell.layers.shares.map((one) => `${one.precision || "not told"} ${figure(100 * one.share)} % of ${of} (${one.layers} layers)`).join(", ");
  }
  function floorOf(cell) {
    if (cell.floor.why) return `not known: ${cell.floor.why}`;
    const times = cell.floor.times === null ? "" : `; the median is ${figure(cell.floor.times, 2)} times as long`;
    return `${figure(cell.floor.ms)} ms, set by ${cell.floor.bound}${times}${cell.floor.memory ? ` (memory left out: ${cell.floor.memory})` : ""}`;
  }

  const TOO_MANY = "Left out of a page of so many measurements: make one of this measurement alone, edgebench report --html FILE ID.";
  const PANELS = [["clock", (t) => t.name.endsWith("_clock")], ["temperature", (t) => t.name === "temperature"],
    ["power", (t) => t.name === "power"], ["held back", (t) => t.name.startsWith("throttled_")]];
  const spread = (from, to, count, at) => Array.from({ length: count }, (_, index) => from + ((to - from) * (index + at)) / count);
  function drawTime(cell) {
    const time = cell.time;
    const panels = time ? PANELS.map(([name, fits]) => [name, time.tracks.filter(fits)]).filter(([, tracks]) => tracks.length) : [];
    const traces = time ? [...time.processes.flatMap(latencies), ...panels.flatMap(([, tracks], row) => tracks.map((track) => trackTrace(track, row)))] : [];
    const more = { xaxis: { title: { text: "seconds" }, anchor: panels.length ? `y${panels.length + 1}` : "y" }, height: 300 + 110 * panels.length };
    const slot = 1 / (panels.length + 2);
    const most = time ? Math.max(...time.processes.flatMap((one) => one.most)) : 0, wide = cell.median && most > WIDE * cell.median.ms;
    const scale = wide ? { type: "log" } : { rangemode: "tozero" };
    more.yaxis = { title: { text: "ms" }, domain: [panels.length ? slot * panels.length + 0.04 : 0, 1], ...scale };
    panels.forEach(([name, tracks], row) => {
      const top = slot * (panels.length - row);
      const unit = name === "held back" ? { tickvals: [0, 1], ticktext: ["no", "yes"], range: [-0.15, 1.15] } : { nticks: 4 };
      more[`yaxis${row + 2}`] = { title: { text: tracks[0].unit || name }, domain: [top - slot + 0.04, top], ...unit };
    });
    const seen = panels.map(([name]) => name).join(", ");
    draw("plot-time", traces.length ? `Latencies over time${seen ? `, with ${seen}` : ""}` : state.doc.whole ? "No samples were kept." : TOO_MANY, traces, more);
    const unknown = time && time.began ? Object.entries(time.unknown).map(([name, why]) => `${name.replace(/_/g, " ")}: ${why}`) : [];
    put("time-caption", time ? "Lines are medians of equal stretches of a process, dots the slowest inference in each; below them what the device did at the same time."
      + (time.began ? "" : " When the processes began is not known: they stand one after another, and what the device did is left out.")
      + (unknown.length ? ` Not watched: ${unknown.join("; ")}.` : "") : "");
  }
  function latencies(process, index) {
    const x = spread(process.from, process.to, process.median.length, 0.5), [color, other] = inks();
    return [
      { x, y: process.median, mode: "lines", line: { color, width: 1.5 }, hovertemplate: `process ${index + 1}<br>median %{y:.4g} ms at %{x:.2f} s<extra></extra>` },
      { x, y: process.most, mode: "markers", marker: { color: other, size: 3 }, hovertemplate: "slowest %{y:.4g} ms at %{x:.2f} s<extra></extra>" },
    ];
  }
  function trackTrace(track, row) {
    const name = track.name.replace(/_/g, " "), held = track.name.startsWith("throttled_");
    return {
      x: spread(track.from, track.to, track.values.length, 0.5), y: track.values, yaxis: `y${row + 2}`, mode: "lines", connectgaps: true,
      line: { width: 1.3, shape: held ? "hv" : "linear", color: inks()[(row + 2) % inks().length], dash: track.name === "memory_clock" ? "dot" : "solid" },
      text: track.values.map((value) => plain(`${name} ${held ? (value ? "yes" : "no") : `${figure(value)} ${track.unit}`} (${track.source})`)), hoverinfo: "text",
    };
  }

  // --- comparisons, layers, floor, environment

  const toldRatio = (ratio) => {
    if (!ratio) return "-";
    return figure(ratio.value) + (ratio.low === null ? "" : ` (${figure(ratio.low)} to ${figure(ratio.high)})`);
  };
  const changed = (value) => `${value < 1 ? "" : "+"}${((value - 1) * 100).toFixed(1)} %`;
  const toldShare = (ratio) => changed(ratio.value) + (ratio.low === null ? "" : ` (${changed(ratio.low)} to ${changed(ratio.high)})`);
  const pair = (one) => `${one.b} / ${one.a}`;
  function drawRatios(cells) {
    const ids = new Set(cells.map((cell) => cell.id));
    const found = state.doc.ratios.filter((one) => one.ids.every((id) => ids.has(id)));
    found.forEach((one, index) => { one.row = index + 1; });
    for (const axis of ["framework", "backend"]) drawForest(axis, found.filter((one) => one.axis === axis));
    const some = found.slice(0, mostDrawn());
    table("ratio-rows", `${some.length < found.length ? `The first ${some.length} of ` : ""}${found.length} pairs`, found.length ? ["row", "compared", "second / first", "time", "p99", "energy", "finding", "made again by"] : [],
      some.map((one) => [one.row, `${one.device} ${one.label}`, pair(one), toldRatio(one.time), toldRatio(one.p99), toldRatio(one.energy),
        [one.finding, ...one.notes].join("; "), el("code", {}, one.command)]));
    put("refused", ...state.doc.not_compared.map((why) => el("li", {}, `Not compared: ${why}`)));
  }
  function drawForest(axis, found) {
    const some = found.slice(0, mostBars()).reverse(), end = (ratio, side) => (ratio[side] === null ? 0 : Math.abs(ratio[side] - ratio.value));
    const traces = some.length ? [{
      x: some.map((one) => one.time.value), y: some.map((_, index) => index), mode: "markers", hoverinfo: "text",
      text: some.map((one) => plain(`${one.device} ${one.label}: ${pair(one)} ${toldRatio(one.time)}, ${one.finding}`)), marker: { color: inks()[0], size: 9 },
      error_x: { type: "data", symmetric: false, array: some.map((one) => end(one.time, "high")), arrayminus: some.map((one) => end(one.time, "low")), thickness: 1.5, width: 5 },
    }] : [];
    const more = found.length > some.length ? ` (the first ${some.length} of ${found.length})` : "";
    draw(`plot-ratios-${axis}`, some.length ? `Ratios of time between ${axis}s with intervals, ${some.length} pairs; the figures are in the table below`
      : `Nothing here is alike but for its ${axis}.`, traces, {
      height: 130 + 26 * some.length, shapes: [{ type: "line", x0: 1, x1: 1, yref: "paper", y0: 0, y1: 1, line: { dash: "dash", width: 1.5, color: inks()[1] } }],
      xaxis: { title: { text: `between ${axis}s${more}: time of the second over the first` }, type: "log" },
      yaxis: { tickvals: some.map((_, index) => index), ticktext: some.map((one) => `${one.row}`), range: [-0.6, some.length - 0.4], title: { text: "row" } },
    });
  }

  function drawSizes(cells) {
    const ids = new Set(cells.map((cell) => cell.id)), found = state.doc.overheads.filter((one) => ids.has(one.id));
    const more = (ratio, missing) => (ratio ? toldShare(ratio) : missing);
    const rows = found.flatMap((one) => [
      [`${one.device} ${one.label}`, "all", one.buckets.reduce((sum, bucket) => sum + bucket.samples, 0), "", "", more(one.overall, one.missing.join("; "))],
      ...one.buckets.map((bucket) => ["", `${bucket.size} px`, bucket.samples, figure(bucket.ms), bucket.alone_ms === null ? "-" : figure(bucket.alone_ms), more(bucket.overhead, bucket.missing)]),
    ]);
    table("size-rows", found.length ? `${found.length} measurements` : "No sizes were drawn here.", rows.length ? ["measurement", "size", "inferences", "median ms", "alone ms", "overhead"] : [], rows);
    again("sizes", state.doc.command);
  }

  function drawLayers(cells) {
    const known = drawable(cells).filter((cell) => cell.layers), name = namer(known, [...TELLING, "batch"]);
    const precisions = unique(known.flatMap((cell) => cell.layers.shares.map((one) => one.precision)));
    const rows = known.slice(0, mostBars()).reverse(), share = (cell, precision) => cell.layers.shares.find((one) => one.precision === precision);
    const traces = rows.length ? precisions.map((precision, index) => ({
      name: plain(precision || "not told"), type: "bar", orientation: "h", y: rows.map((_, row) => row), x: rows.map((cell) => (share(cell, precision) || { share: 0 }).share),
      marker: { color: look(index).color, pattern: { shape: ["", "/", "x", "."][index % 4] } }, hoverinfo: "text",
      text: rows.map((cell) => plain(`${name(cell)}: ${precision} ${figure(100 * (share(cell, precision) || { share: 0 }).share)} % of ${cell.layers.by_time ? "time" : "layers"}`)), textposition: "none",
    })) : [];
    draw("plot-layers", rows.length ? `Share of the computing by precision, ${rows.length} measurements` : nothing(cells, "No runtime here tells the precision of its layers."), traces, {
      barmode: "stack", height: 150 + 26 * rows.length + 22 * precisions.length, xaxis: { tickformat: ".0%", range: [0, 1] },
      yaxis: { tickvals: rows.map((_, row) => row), ticktext: rows.map((cell) => plain(name(cell).slice(0, 40))) },
    }, Math.max(precisions.length, 2));
    again("layers", known.length ? `edgebench results show ${known[0].id}` : "");
  }

  function drawFloors(cells) {
    const known = cells.filter((cell) => !cell.floor.why && cell.verdict !== "INVALID");
    const why = unique(cells.filter((cell) => cell.floor.why).map((cell) => cell.floor.why));
    const left = why.length ? ` Without a floor: ${cells.filter((cell) => cell.floor.why).length} (${why.join("; ")}).` : "";
    table("floors", `${known.length} measurements.${left}`, known.length ? ["measurement", "floor ms", "set by", "median ms", "median / floor", "peaks", "left out"] : [],
      [...known].sort((a, b) => (a.floor.times || 0) - (b.floor.times || 0)).map((cell) => [`${cell.device} ${cell.label}`, figure(cell.floor.ms), cell.floor.bound,
        estimate(cell.median, cell.samples), figure(cell.floor.times, 2), cell.floor.source, cell.floor.memory && `memory: ${cell.floor.memory}`]));
    again("floor", state.doc.command);
  }

  // --- starting, holding, paying

  // Bars on top of one another: `of` gives each row's [part, value, what is told of it].
  function drawStacked(id, label, empty, rows, of, title) {
    const some = rows.slice(0, mostBars()).reverse(), parts = inOrder(some.map((row) => of(row).map(([part]) => part)));
    const traces = parts.map((part, index) => ({
      name: plain(part), type: "bar", orientation: "h", y: some.map((_, row) => row), hoverinfo: "text", textposition: "none",
      x: some.map((row) => (of(row).find(([name]) => name === part) || [part, 0])[1]),
      text: some.map((row) => plain(`${row.name}: ${part} ${(of(row).find(([name]) => name === part) || [part, 0, "none"])[2]}`)),
      marker: { color: look(index).color, pattern: { shape: ["", "/", "x", "."][index % 4] } },
    }));
    const more = rows.length > some.length ? ` (the first ${some.length} of ${rows.length})` : "";
    draw(id, some.length ? `${label}, ${some.length} bars; the figures are in the table below` : empty, some.length ? traces : [], {
      barmode: "stack", height: 150 + 26 * some.length + 22 * parts.length, xaxis: { title: { text: title + more }, rangemode: "tozero" },
      yaxis: { tickvals: some.map((_, row) => row), ticktext: some.map((row) => plain(row.name.slice(0, 60))) },
    }, Math.max(parts.length, 2));
  }
  // All names of the lists, each after those that it follows in the longest list that has it.
  function inOrder(lists) {
    const place = (name) => Math.max(...lists.map((names) => names.indexOf(name)));
    return [...new Set(lists.flat())].sort((a, b) => place(a) - place(b));
  }
  const reasonsOf = (cells, of) => {
    const why = unique(cells.map(of).filter(Boolean));
    return why.length ? ` Without: ${cells.filter(of).length} (${why.join("; ")}).` : "";
  };
  function drawStarts(cells) {
    const known = drawable(cells).filter((cell) => cell.loading.starts.length), name = namer(known, [...TELLING, "batch"]);
    const rows = known.flatMap((cell) => cell.loading.starts.map((start) => ({ name: `${name(cell)}, ${start.name}`, cell, start })));
    drawStacked("plot-loading", "Seconds from process start to first answer", nothing(cells, "No start was told apart here."), rows,
      (row) => row.start.parts.map((part) => [part.name, part.s, `${figure(part.s)} s`]), "seconds");
    const parts = inOrder(rows.map((row) => row.start.parts.map((part) => part.name)));
    const of = (row, part) => (row.start.parts.find((one) => one.name === part) || { s: null }).s;
    table("starts", `${rows.length} kinds of start.${reasonsOf(cells, (cell) => cell.loading.why)}`,
      rows.length ? ["measurement", "start", "processes", "seconds", ...parts, "verdict"] : [],
      rows.map((row) => [`${row.cell.device} ${row.cell.label}`, row.start.name, row.start.processes,
        `${figure(row.start.s)}${row.start.half === null ? "" : ` ±${figure(row.start.half, 2)}`}`,
        ...parts.map((part) => figure(of(row, part))), row.cell.verdict]));
    again("loading", state.doc.command);
  }
  const mb = (bytes) => (bytes === null || bytes === undefined ? "" : figure(bytes / 1e6));
  function drawMemory(cells) {
    const known = drawable(cells).filter((cell) => cell.memory.stages.length), name = namer(known, [...TELLING, "batch"]);
    const rows = known.map((cell) => ({ name: name(cell), cell }));
    const grown = ({ cell }) => cell.memory.stages.map((stage, index) => {
      const before = Math.max(0, ...cell.memory.stages.slice(0, index).map((one) => one.process));
      return [stage.name, Math.max(stage.process - before, 0) / 1e6, `${mb(stage.process)} MB in all`];
    });
    drawStacked("plot-memory", "What each stage added to the most that the process held", nothing(cells, "No memory was told by stage here."),
      rows, grown, "MB that a stage added to the most held");
    const stages = inOrder(known.map((cell) => cell.memory.stages.map((stage) => stage.name)));
    const of = (cell, stage) => cell.memory.stages.find((one) => one.name === stage) || {};
    table("memories", `${known.length} measurements.${reasonsOf(cells, (cell) => cell.memory.why)}`,
      known.length ? ["measurement", "process MB", ...stages, "device MB", "by", "runtime's own count, MB", "verdict"] : [],
      known.map((cell) => [`${cell.device} ${cell.label}`, mb(cell.memory.process), ...stages.map((stage) => mb(of(cell, stage).process)),
        mb(cell.memory.device), cell.memory.source, mb(cell.memory.allocator), cell.verdict]));
    again("memory", state.doc.command);
  }
  function drawCosts(cells) {
    const known = cells.filter((cell) => !cell.cost.why);
    table("costs", `${known.length} measurements.${reasonsOf(cells, (cell) => cell.cost.why)}`,
      known.length ? ["measurement", "a million images", "24 hours", "images in 24 hours", "images/s", "verdict", "price"] : [],
      [...known].sort((a, b) => compareValues(a.cost.currency, b.cost.currency) || a.cost.million - b.cost.million).map((cell) => [`${cell.device} ${cell.label}`, money(cell.cost, cell.cost.million),
        money(cell.cost, cell.cost.day), figure(cell.cost.images), figure(cell.per_s), cell.verdict, cell.cost.at]));
    again("cost", state.doc.command);
  }

  function drawEnvironment(cells) {
    const devices = unique(cells.map((cell) => cell.device));
    const lines = state.doc.environment.filter((one) => devices.some((device) => one.devices[device]));
    table("environments", `${lines.length} names of ${devices.length} devices`, ["name", ...devices], lines.map((one) => [
      one.unlike ? el("mark", {}, one.name) : one.name,
      ...devices.map((device) => {
        const told = (one.devices[device] || ["-"]).join(" · ");
        return one.changed.includes(device) ? el("mark", {}, `changed: ${told}`) : told;
      }),
    ]));
  }

  // --- frameworks beside one another, claims beside measurements

  const among = (devices, one) => !one.device || devices.has(one.device);
  function drawDecision(cells) {
    const devices = new Set(cells.map((cell) => cell.device));
    const found = state.doc.matrices.filter((one) => among(devices, one));
    put("matrices", ...found.flatMap((one) => {
      const rows = lined(one.headline, one.lines);
      return [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": one.headline }, rows), listed(one.notes)];
    }));
    if (state.doc.more_matrices) $("matrices").append(el("p", { class: "soft" }, `More than the first ${state.doc.matrices.length} tables are left out: choose fewer measurements.`));
    if (!found.length) put("matrices", el("p", { class: "soft" }, "Nothing of either framework is here."));
  }
  function drawClaims(cells) {
    const told = state.doc.claims, devices = new Set(cells.map((cell) => cell.device));
    for (const one of document.querySelectorAll(".claims")) one.hidden = !told;
    if (!told) return;
    put("claims-source", told.headline);
    const lines = told.lines.filter((one) => among(devices, one));
    const rows = lined(`${lines.length} rows; measured / claimed is of the nearer end of a range`, lines);
    rows.id = "claim-rows";
    $("claim-rows").replaceWith(rows);
    put("claim-notes", ...told.notes.map((note) => el("li", {}, note)));
    again("claims", state.doc.command);
  }
  const LONG = ["sentence", "why"];
  const listed = (notes) => el("ul", {}, ...notes.map((note) => el("li", {}, note)));
  function lined(caption, lines) {
    const names = lines.length ? Object.keys(lines[0]).filter((name) => lines.some((line) => line[name])) : [];
    const verdict = (name, text) => (name === "verdict" ? ` claim-${text.replace(/ /g, "-")}` : "");
    const kind = (name, text) => (LONG.includes(name) ? "why" : `name${verdict(name, text)}`);
    return el("table", {}, el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...lines.map((line) => el("tr", {}, ...names.map((name, index) =>
        el(index ? "td" : "th", index ? { class: kind(name, line[name]) } : { scope: "row" }, line[name]))))));
  }

  // --- the whole

  function drawAll() {
    const all = shown(), some = all.slice(0, mostDrawn());
    const few = some.length < all.length ? `; plots and tables have the first ${some.length}, the overview has all: filters show others` : "";
    put("count", `${counted(all)} of ${counted(state.doc.cells)} measurements${few}`);
    for (const one of [drawMatrix, drawRows, drawOne, drawRatios, drawDecision, drawClaims]) one(all);
    for (const one of [drawBatch, drawPareto, drawDistribution, drawSizes, drawLayers, drawFloors, drawStarts, drawMemory, drawCosts, drawEnvironment]) one(some);
  }
  // What packing.py has packed: columns of rows, and for each device what it has of each line of the environment.
  function rowsOf(table) {
    const rows = Array.from({ length: table.length }, () => ({}));
    for (const [name, column] of Object.entries(table.columns)) {
      const values = valuesOf(column);
      rows.forEach((row, index) => { row[name] = values[index]; });
    }
    return rows;
  }
  function valuesOf({ values, at, fields, items, counts }) {
    if (fields) return rowsOf(fields);
    if (!items) return at ? at.map((place) => values[place]) : values;
    const all = rowsOf(items);
    let from = 0;
    return counts.map((count) => all.slice(from, from += count));
  }
  function unpacked(doc) {
    const devices = rowsOf(doc.environment.devices);
    const told = (index) => Object.fromEntries(devices.filter((one) => one[index]).map((one) => [one.name, one[index]]));
    return { ...doc, cells: rowsOf(doc.cells), environment: rowsOf(doc.environment.rows).map((line, index) => ({ ...line, devices: told(index) })) };
  }
  function show(packed) {
    const doc = state.doc = unpacked(packed);
    put("made", `${counted(doc.cells)} measurements · edgebench ${doc.edgebench} · ${doc.made_at} · `, el("code", {}, doc.command));
    put("damaged", ...doc.damaged.map((why) => el("li", {}, `Left out: ${why}`)));
    drawFilters();
    drawAll();
    if (!waiting.size) document.body.dataset.drawn = String(doc.cells.length);
  }
  function printing(on) {
    state.printing = on;
    drawAll();
  }

  // --- while a run goes on

  let fetching = null, stale = false;
  function refresh() {
    stale = true;
    fetching = fetching || (async () => {
      while (stale) {
        stale = false;
        const answer = await fetch("data.json", { cache: "no-store" });
        if (answer.ok) show(await answer.json());
        else put("status", (await answer.text()).slice(0, 300));
      }
    })().catch(() => put("status", "The server does not answer; this page goes on when it does."))
      .finally(() => { fetching = null; });
  }
  function follow() {
    const events = new EventSource("events");
    events.addEventListener("measurement", refresh);
    events.addEventListener("status", (event) => put("status", JSON.parse(event.data)));
    events.addEventListener("error", () => put("status", "The server does not answer; this page goes on when it does."));
  }

  $("filters").addEventListener("input", drawAll);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", () => setTimeout(drawAll));
  $("chosen").addEventListener("change", (event) => choose(event.target.value, false));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => state.doc && drawAll());
  addEventListener("beforeprint", () => state.doc && printing(true));
  addEventListener("afterprint", () => state.doc && printing(false));
  if ($("data")) show(JSON.parse($("data").textContent));
  else follow();
})();
