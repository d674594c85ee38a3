/** Who speaks: the provider, its voice and its model, as three lists that follow each other. */

// Beyond this a list is read by language.
const GROUPED_FROM = 30;

export class Choice {
  #api;
  #fieldset;
  #providers = [];
  #problem;

  /** @param onProblem told what went wrong with a list of voices; the provider's own voice can still be used */
  constructor(fieldset, api, onProblem) {
    this.#fieldset = fieldset;
    this.#api = api;
    this.#problem = onProblem;
    this.#list("provider").addEventListener("change", () => this.#follow());
  }

  /** @param preferred the name to choose; the relay's default if it is not usable */
  async fill(providers, preferred = null) {
    this.#providers = providers;
    const options = providers.map(({ name, usable, reason }) => {
      const option = new Option(usable ? name : `${name} (not set up)`, name);
      option.disabled = !usable;
      option.title = usable ? "" : reason;
      return option;
    });
    this.#list("provider").replaceChildren(...options);
    const usable = providers.filter((provider) => provider.usable);
    const wanted = usable.find(({ name }) => name === preferred) ?? usable.find((provider) => provider.default);
    this.#list("provider").value = (wanted ?? usable[0])?.name ?? "";
    await this.#follow();
  }

  /** The fields of a turn; what is the provider's default is left out. */
  get wanted() {
    const fields = ["provider", "voice", "model"].map((name) => [name, this.#list(name).value]);
    return Object.fromEntries(fields.filter(([, value]) => value));
  }

  #list(name) {
    return this.#fieldset.querySelector(`[name=${name}]`);
  }

  async #follow() {
    const provider = this.#list("provider").value;
    const models = this.#providers.find(({ name }) => name === provider)?.capabilities?.models ?? [];
    this.#list("model").replaceChildren(new Option("Default", ""), ...models.map((model) => new Option(model)));
    this.#list("model").closest("label").hidden = models.length === 0;
    this.#list("voice").replaceChildren(new Option("Default", ""));
    if (!provider) return;
    try {
      const voices = await this.#api.voices(provider);
      // Somebody may have chosen another one meanwhile.
      if (this.#list("provider").value === provider) this.#list("voice").append(...options(voices));
    } catch (error) {
      this.#problem(error);
    }
  }
}

function options(voices) {
  const sorted = voices.toSorted((one, other) => one.name.localeCompare(other.name));
  if (sorted.length < GROUPED_FROM) return sorted.map(option);
  const groups = Map.groupBy(sorted, ({ languages }) => language(languages[0]));
  return [...groups]
    .toSorted(([one], [other]) => one.localeCompare(other))
    .map(([name, members]) => {
      const group = document.createElement("optgroup");
      group.label = name;
      group.append(...members.map(option));
      return group;
    });
}

function option({ id, name }) {
  return new Option(name, id);
}

/** "English" for `en-GB`; the tag itself where the browser has no name for it. */
function language(tag = "") {
  const [base] = tag.split("-");
  try {
    return new Intl.DisplayNames(undefined, { type: "language" }).of(base);
  } catch {
    return tag || "Other";
  }
}
