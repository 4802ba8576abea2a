/* The paths of training in three components, to be turned. Written by hand and not with a plotting library: such a
   library is 1 to 4 MB in every page, this is 6 KB, and the page's policy admits it by its hash alone. Without
   scripts, and in print, the figure above stands by itself. Names from outside only ever become text nodes. */
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const RADIUS = 118;
  const COLUMNS = [["cos_general", "cosine to general"], ["cos_narrow", "cosine to narrow"], ["norm", "norm"],
    ["distance_general", "distance to general"], ["distance_narrow", "distance to narrow"],
    ["local_cosine", "local cosine"]];

  const html = (parent, tag, text, attributes) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    return parent.appendChild(made);
  };
  const svg = (parent, tag, attributes, text) => {
    const made = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return parent.appendChild(made);
  };
  const digits = value => value === null || value === undefined ? "–" : value.toPrecision(3).replace("-", "−");

  /* The middle of all points, and how far the farthest lies from it: one scale for all axes keeps angles true. */
  const extent = runs => {
    const every = runs.flatMap(run => run.points);
    const middle = [0, 1, 2].map(axis => {
      const values = every.map(point => point[axis]);
      return (Math.min(...values) + Math.max(...values)) / 2;
    });
    const far = Math.max(...every.map(point => Math.hypot(...point.map((value, axis) => value - middle[axis]))));
    return { middle, scale: RADIUS / (far || 1) };
  };

  const build = host => {
    const view = JSON.parse(host.dataset.view);
    const { middle, scale } = extent(view.runs);
    const steps = [...new Set(view.runs.flatMap(run => run.steps))].sort((one, other) => one - other);
    const state = { yaw: -0.6, pitch: 0.4, place: steps.length - 1 };

    const stage = svg(host, "svg", { viewBox: "-180 -135 360 270", class: "stage", tabindex: "0", role: "application",
      "aria-label": "Paths of training in three components. Arrow keys turn the view, Home turns it back." });
    const axes = view.axes.map((share, axis) => ({
      line: svg(stage, "line", { class: "axis" }), name: svg(stage, "text", { class: "axis-name" }, share), axis }));
    const drawn = view.runs.map(run => {
      const group = svg(stage, "g", {});
      group.style.color = run.colour;
      return { run,
        points: run.points.map(point => point.map((value, axis) => (value - middle[axis]) * scale)),
        whole: svg(group, "polyline", { class: "whole" }),
        done: svg(group, "polyline", { class: "done", "stroke-dasharray": run.dashes }),
        start: svg(group, "circle", { class: "start", r: 4 }),
        mark: svg(group, "path", { class: run.hollow ? "mark hollow" : "mark", d: run.marker }) };
    });

    const controls = html(host, "div", "", { class: "controls" });
    const label = html(controls, "label", "step ");
    const shown = html(label, "output", "");
    const slider = html(label, "input", "", { type: "range", min: 0, max: steps.length - 1, step: 1,
      value: state.place, "aria-label": "step of training" });
    html(controls, "span", "Drag the picture to turn it, or use the arrow keys.", { class: "soft" });

    const frame = html(host, "div", "", { class: "scroll", tabindex: "0", role: "region",
      "aria-label": "The runs at this step" });
    const table = html(frame, "table", "", { class: "data" });
    const head = html(html(table, "thead"), "tr");
    html(head, "th", "run", { scope: "col" });
    const columns = COLUMNS.filter(([key]) => view.runs.some(run => run.columns[key]));
    columns.forEach(([, name]) => html(head, "th", name, { scope: "col", class: "num" }));
    const body = html(table, "tbody");
    drawn.forEach(one => {
      const row = html(body, "tr"), name = html(row, "td");
      const key = svg(name, "svg", { viewBox: "-9 -9 18 18", class: "key-mark", "aria-hidden": "true" });
      key.style.color = one.run.colour;
      svg(key, "path", { class: one.run.hollow ? "mark hollow" : "mark", d: one.run.marker });
      name.append(" " + one.run.name);
      one.cells = columns.map(([key_]) => [key_, html(row, "td", "", { class: "num" })]);
    });

    const project = ([x, y, z]) => {
      const { yaw, pitch } = state;
      const across = x * Math.cos(yaw) + z * Math.sin(yaw), deep = z * Math.cos(yaw) - x * Math.sin(yaw);
      return [across, deep * Math.sin(pitch) - y * Math.cos(pitch)];
    };
    const polyline = points => points.map(point => project(point).map(value => value.toFixed(1)).join()).join(" ");
    const draw = () => {
      const step = steps[state.place];
      axes.forEach(({ line, name, axis }) => {
        const tip = [0, 0, 0];
        tip[axis] = RADIUS * 1.05;
        const [x, y] = project(tip);
        for (const [key, value] of [["x1", -x], ["y1", -y], ["x2", x], ["y2", y]]) line.setAttribute(key, value);
        name.setAttribute("x", x * 1.08);
        name.setAttribute("y", y * 1.08 + 4);
      });
      drawn.forEach(one => {
        let last = 0;
        one.run.steps.forEach((at, place) => { if (at <= step) last = place; });
        const started = one.run.steps[0] <= step;
        one.whole.setAttribute("points", polyline(one.points));
        one.done.setAttribute("points", started ? polyline(one.points.slice(0, last + 1)) : "");
        const [x, y] = project(one.points[0]);
        one.start.setAttribute("cx", x);
        one.start.setAttribute("cy", y);
        one.mark.setAttribute("transform", `translate(${project(one.points[last]).map(at => at.toFixed(1)).join()})`);
        one.mark.style.visibility = started ? "visible" : "hidden";
        one.cells.forEach(([key, cell]) => {
          cell.textContent = digits(started && one.run.columns[key] ? one.run.columns[key][last] : null);
        });
      });
      shown.textContent = step;
      slider.setAttribute("aria-valuetext", `step ${step}`);
    };

    const turn = (yaw, pitch) => {
      state.yaw += yaw;
      state.pitch = Math.max(-1.5, Math.min(1.5, state.pitch + pitch));
      draw();
    };
    slider.addEventListener("input", () => { state.place = Number(slider.value); draw(); });
    let held = null;
    stage.addEventListener("pointerdown", event => {
      held = { id: event.pointerId, x: event.clientX, y: event.clientY };
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", event => {
      if (!held || held.id !== event.pointerId) return;
      turn((event.clientX - held.x) * 0.012, (event.clientY - held.y) * 0.012);
      Object.assign(held, { x: event.clientX, y: event.clientY });
    });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { held = null; });
    stage.addEventListener("keydown", event => {
      const by = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] }[event.key];
      if (event.key === "Home") Object.assign(state, { yaw: 0, pitch: 0 });
      if (by) turn(...by);
      else if (event.key === "Home") draw();
      else return;
      event.preventDefault();
    });
    host.hidden = false;
    draw();
  };
  document.querySelectorAll(".turntable").forEach(build);
})();
