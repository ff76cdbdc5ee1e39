// The report: its filters, and two pictures of an image beside each other.
const { factor, zoom } = JSON.parse(control("settings").textContent);
all("table.board").forEach((table) => sortable(table));

function filterBoards() {
  const [method, scale, part] = ["filter-method", "filter-scale", "filter-part"].map(valueOf);
  let shown = 0, total = 0;
  for (const section of all(".part")) {
    section.hidden = part !== "" && section.dataset.part !== part;
    for (const table of all("table.board", section)) {
      const [kept, count] = filterTable(table, method, scale);
      total += count;
      shown += section.hidden ? 0 : kept;
    }
  }
  control("filter-count").textContent = shown === total ? `${total} rows` : `${shown} of ${total} rows`;
}

for (const id of ["filter-method", "filter-scale", "filter-part"]) {
  if (control(id)) control(id).addEventListener("input", filterBoards);
}
filterBoards();

if (control("filter-image")) {
  const filterImages = () => {
    const albums = all(".album");
    albums.forEach((album) => { album.hidden = !matches(album.dataset.name, valueOf("filter-image")); });
    const shown = albums.filter((album) => !album.hidden).length;
    control("image-count").textContent = `${shown} of ${albums.length} images`;
  };
  control("filter-image").addEventListener("input", filterImages);
  filterImages();
}

// --- comparing pictures ----------------------------------------------------

class Viewer {
  constructor(album, number) {
    this.data = JSON.parse(album.querySelector("script[type='application/json']").textContent);
    this.root = control("viewer").content.firstElementChild.cloneNode(true);
    this.thumb = album.querySelector("summary img");
    this.image = album.querySelector(".name").textContent;
    this.turn = 0;
    this.at = (selector) => this.root.querySelector(selector);
    this.setting = this.at(".setting select");
    this.sides = { left: this.at(".left select"), right: this.at(".right select") };
    this.slider = this.at(".stage input");
    all(".view input", this.root).forEach((radio) => { radio.name = `view-${number}`; });
    this.fill(this.setting, this.data.settings.map((one) => one.title));
    this.setting.value = String(this.data.settings.length - 1);
    this.at(".setting").hidden = this.data.settings.length < 2;
    this.listen();
    this.choose(true);
    album.querySelector(".place").replaceWith(this.root);
  }

  get now() { return this.data.settings[Number(this.setting.value)]; }
  get whole() { return this.at("input[value=whole]").checked; }
  picture(side) { return this.now.pictures[Number(this.sides[side].value)]; }
  uri(picture, kind = "crop") { return this.data.blobs[picture[kind]]; }

  fill(select, names) {
    select.replaceChildren(...names.map((name, index) => new Option(name, index)));
  }

  listen() {
    this.setting.addEventListener("change", () => this.choose(false));
    Object.values(this.sides).forEach((select) => select.addEventListener("change", () => this.show()));
    all(".view input", this.root).forEach((radio) => radio.addEventListener("change", () => this.show()));
    this.slider.addEventListener("input", () => this.slide());
    this.at(".swap").addEventListener("click", () => {
      const { left, right } = this.sides;
      [left.value, right.value] = [right.value, left.value];
      this.show();
    });
  }

  // Another scale keeps the two methods where it has them.
  choose(afresh) {
    const names = this.now.pictures.map((one) => one.name);
    const restored = this.now.pictures.findIndex((one) => one.kind === "sr");
    for (const [side, otherwise] of [["left", restored], ["right", 0]]) {
      const before = afresh ? "" : this.sides[side].selectedOptions[0].textContent;
      this.fill(this.sides[side], names);
      this.sides[side].value = String(names.includes(before) ? names.indexOf(before) : otherwise);
    }
    const carried = this.now.pictures.every((one) => one.whole !== null);
    this.at(".view").hidden = !carried;
    if (!carried) this.at("input[value=crop]").checked = true;
    this.show();
  }

  show() {
    const [left, right] = [this.picture("left"), this.picture("right")];
    const whole = this.whole;
    this.root.classList.toggle("whole", whole);
    this.root.classList.toggle("crop", !whole);
    const [, , width, height] = this.now.box;
    const stage = this.at(".stage");
    const [w, h] = whole ? this.now.size : [width * zoom, height * zoom];
    stage.style.aspectRatio = `${w} / ${h}`;
    stage.style.width = `${whole ? Math.min(w, 640 * Math.min(1, w / h)) : w}px`;
    for (const [picture, place, side] of [[left, ".over", "left"], [right, ".under", "right"]]) {
      const image = this.at(place);
      image.src = this.uri(picture, whole ? "whole" : "crop");
      image.alt = `${this.image}, ${this.now.title}, ${picture.name}${whole ? "" : ", worst crop"}`;
      const caption = this.at(`.compare .of-${side}`);
      caption.querySelector("b").textContent = picture.name;
      caption.querySelector("span").textContent = picture.scores;
    }
    this.slider.setAttribute("aria-label", `Divider between ${left.name} on the left and ${right.name} on the right`);
    this.slide();
    this.locate();
    if (!whole) this.differences();
  }

  slide() {
    const at = this.slider.value;
    this.at(".stage").style.setProperty("--at", `${at}%`);
    this.slider.setAttribute("aria-valuetext", `${at} % ${this.picture("left").name}`);
  }

  locate() {
    const [x, y, width, height] = this.now.box;
    const [W, H] = this.now.size;
    this.at(".where").hidden = !this.thumb;
    if (!this.thumb) return;
    this.at(".map img").src = this.thumb.src;
    const frame = this.at(".map span").style;
    [frame.left, frame.top] = [`${100 * x / W}%`, `${100 * y / H}%`];
    [frame.width, frame.height] = [`${100 * width / W}%`, `${100 * height / H}%`];
    this.at(".where figcaption span").textContent =
      `${width}×${height} px at x ${x}, y ${y}. ${this.whole ? "Whole images" : "Crops"} are stored ${this.data[this.whole ? "whole" : "storing"]}.`;
  }

  async differences() {
    this.turn += 1;
    const turn = this.turn;
    const original = await pixels(this.uri(this.now.pictures[0]));
    for (const side of ["left", "right"]) {
      const picture = this.picture(side);
      const own = await pixels(this.uri(picture));
      if (turn !== this.turn) return; // another choice was made meanwhile
      this.draw(this.at(`.difference.of-${side}`), picture, own, original);
    }
  }

  draw(figure, picture, own, original) {
    figure.hidden = picture.kind === "hr";
    const map = new ImageData(own.width, own.height);
    let sum = 0;
    for (let index = 0; index < own.data.length; index += 4) {
      for (let channel = 0; channel < 3; channel += 1) {
        const apart = Math.abs(own.data[index + channel] - original.data[index + channel]);
        sum += apart;
        map.data[index + channel] = Math.min(255, factor * apart);
      }
      map.data[index + 3] = 255;
    }
    const mean = (sum / (own.width * own.height * 3)).toFixed(2);
    const canvas = figure.querySelector("canvas");
    [canvas.width, canvas.height] = [own.width, own.height];
    canvas.style.width = `${own.width * zoom}px`;
    canvas.getContext("2d").putImageData(map, 0, 0);
    figure.querySelector("b").textContent = `|${picture.name} − HR| × ${factor}`;
    figure.querySelector("span").textContent = `mean difference ${mean} of 255, drawn ${factor} times as strong`;
    canvas.setAttribute("aria-label", `Difference map of ${picture.name} to HR, amplified ${factor} times, mean ${mean} of 255`);
  }
}

async function pixels(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

// Pictures are decoded when their image is opened, not before.
all(".album").forEach((album, number) => album.addEventListener("toggle", () => {
  if (album.open && album.querySelector(".place")) new Viewer(album, number);
}));
const first = all(".album").find((album) => album.querySelector(".place"));
if (first) first.open = true;
