// Travels with every view; the module itself is fetched once per page, and neither it nor numbers are saved in notebooks.
function channel(model) {
  const open = new Map();
  const heard = (message, buffers) => {
    const waiting = open.get(message.id);
    if (!waiting) return;
    open.delete(message.id);
    if (message.error) waiting.reject(new Error(message.error));
    else waiting.resolve({ json: message.answer, buffers });
  };
  model.on("msg:custom", heard);
  return {
    close: () => model.off("msg:custom", heard),
    ask: (request, buffers = []) =>
      new Promise((resolve, reject) => {
        const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
        open.set(id, { resolve, reject });
        try {
          model.send({ id, request }, undefined, buffers);
        } catch {
          reject(new Error("The kernel was restarted: run the cell again."));
        }
      }),
  };
}

/** Arrows, Enter and the like in a control are the control's; letters, Shift-Enter, Ctrl-S ... stay JupyterLab's. */
function keepKeys(el) {
  const keep = ({ target, key, ctrlKey, metaKey, altKey, shiftKey }) => {
    if (!el.contains(target)) return;
    const own = /^(Arrow|Home|End|Page| )/.test(key) || (key === "Enter" && !shiftKey && target.tagName !== "INPUT");
    target.toggleAttribute("data-lm-suppress-shortcuts", own && !(ctrlKey || metaKey || altKey));
  };
  addEventListener("keydown", keep, true); // before JupyterLab's, which listens on the document
  return () => removeEventListener("keydown", keep, true);
}

export default {
  async render({ model, el }) {
    const { ask, close } = channel(model),
      release = keepKeys(el),
      version = model.get("version"),
      modules = (globalThis.isomaxVizModules ??= {});
    el.textContent = "Waiting for the kernel. If it was restarted, run the cell again.";
    modules[version] ??= ask({ what: "module" }).then(({ buffers }) =>
      import(URL.createObjectURL(new Blob([buffers[0]], { type: "text/javascript" })))
    );
    try {
      const [mounts, { json: data, buffers }] = await Promise.all([modules[version], ask({ what: "start" })]);
      let said = "";
      const explorer = await mounts[model.get("mounts")](el, {
        data,
        buffers,
        ask,
        state: model.get("look"),
        shown: model.get("shown"),
        changed: (state) => {
          said = JSON.stringify(state);
          model.set("look", JSON.parse(said));
          model.save_changes();
        },
        picked: (images) => {
          model.set("selected", images);
          model.save_changes();
        },
      });
      const look = () => {
        if (JSON.stringify(model.get("look")) !== said) explorer.restore(model.get("look"), model.get("shown"));
      };
      const shown = () => explorer.restore(model.get("look"), model.get("shown"));
      model.on("change:look", look);
      model.on("change:shown", shown);
      return () => {
        explorer.close();
        close();
        release();
        model.off("change:look", look);
        model.off("change:shown", shown);
      };
    } catch (error) {
      delete modules[version];
      el.textContent = `The explorer could not start: ${error.message}`;
      return () => {
        close();
        release();
      };
    }
  },
};
