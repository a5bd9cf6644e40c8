// Switches images, findings and the opacity of heatmaps; everything that is shown is already in the page.
const state = { id: null, image: null, opacity: 60, findings: {} };

function show() {
  const whole = element.querySelector(".zoo-results");
  if (whole && whole.dataset.id !== state.id) Object.assign(state, { id: whole.dataset.id, image: null, findings: {} });
  const sections = [...element.querySelectorAll(".zoo-result")];
  if (!sections.length) return;
  if (!sections.some((s) => s.dataset.image === state.image)) state.image = sections[0].dataset.image;
  for (const section of sections) {
    section.hidden = section.dataset.image !== state.image;
    const wanted = state.findings[section.dataset.image];
    if (wanted) for (const radio of section.querySelectorAll("input[type=radio]")) radio.checked = radio.value === wanted;
    const chosen = section.querySelector("input[type=radio]:checked");
    const name = section.querySelector(".zoo-finding-name");
    for (const map of section.querySelectorAll(".zoo-map")) {
      map.hidden = !chosen || map.dataset.finding !== chosen.value;
      map.style.opacity = state.opacity / 100;
    }
    if (name) name.textContent = chosen ? chosen.value : "none";
    for (const slider of section.querySelectorAll("input[type=range]")) slider.value = state.opacity;
    for (const output of section.querySelectorAll("output")) output.textContent = `${state.opacity} %`;
  }
  for (const button of element.querySelectorAll("[data-show]")) {
    button.setAttribute("aria-current", String(button.dataset.show === state.image));
  }
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-show]");
  if (button) { state.image = button.dataset.show; show(); }
});
element.addEventListener("input", (event) => {
  if (event.target.type === "range") { state.opacity = Number(event.target.value); show(); }
  if (event.target.type === "radio") {
    state.findings[event.target.closest(".zoo-result").dataset.image] = event.target.value;
    show();
  }
});
const observer = new MutationObserver(refresh);
function refresh() {
  observer.disconnect(); // what `show` changes is no reason to show again
  show();
  observer.observe(element, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-count", "data-id"] });
}
refresh();

// Gradio sets the HTTP status before the words of a refusal, which say enough alone.
const messages = new MutationObserver(() => {
  for (const shown of document.querySelectorAll(".toast-wrap .toast-message-text")) {
    const words = document.createTreeWalker(shown, NodeFilter.SHOW_TEXT).nextNode();
    if (words && /^\s*HTTP \d{3}: /.test(words.data)) words.data = words.data.replace(/^\s*HTTP \d{3}: /, "");
  }
});
messages.observe(document.body, { childList: true, subtree: true });
