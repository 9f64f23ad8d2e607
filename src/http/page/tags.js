// Tags as the emoji that ntfy's clients show for them; any other tag is shown as a word. Used by row.js and detail.js.

const EMOJI = {
  "+1": "👍", "-1": "👎️", alarm_clock: "⏰", ambulance: "🚑️", bangbang: "‼️", battery: "🔋", bell: "🔔", birthday: "🎂",
  bug: "🐛", calendar: "📅", camera: "📷️", cd: "💿️", chart_with_upwards_trend: "📈", chart_with_downwards_trend: "📉",
  check: "✔️", clock: "🕰️", cloud: "☁️", collision: "💥", computer: "💻️", construction: "🚧", dart: "🎯", disk: "💽", door: "🚪",
  droplet: "💧", dvd: "📀", electric_plug: "🔌", email: "📧", envelope: "✉️", exclamation: "❗️", eyes: "👀", facepalm: "🤦",
  fire: "🔥", fire_engine: "🚒", floppy_disk: "💾", gear: "⚙️", ghost: "👻", globe_with_meridians: "🌐", green_circle: "🟢",
  hammer: "🔨", heart: "❤️", heavy_check_mark: "✔️", hourglass: "⌛️", house: "🏠️", incoming_envelope: "📨",
  information_source: "ℹ️", key: "🔑", lady_beetle: "🐞", left_speech_bubble: "🗨️", lock: "🔒️", loudspeaker: "📢", mag: "🔍️",
  mailbox: "📫️", microscope: "🔬", minidisc: "💽", moneybag: "💰️", no_entry: "⛔️", no_entry_sign: "🚫", ok: "🆗", ok_hand: "👌",
  orange_circle: "🟠", outbox_tray: "📤️", inbox_tray: "📥️", package: "📦️", partying_face: "🥳", pencil: "📝", phone: "☎️",
  police_car: "🚓", printer: "🖨️", pushpin: "📌", question: "❓️", rain: "🌧️", recycle: "♻️", red_circle: "🔴", repeat: "🔁",
  robot: "🤖", rocket: "🚀", rotating_light: "🚨", satellite: "📡", seedling: "🌱", shield: "🛡️", shopping_cart: "🛒", skull: "💀",
  smile: "😄", snail: "🐌", snowflake: "❄️", sos: "🆘", sparkles: "✨", speech_balloon: "💬", star: "⭐️", stop_sign: "🛑",
  sunny: "☀️", tada: "🎉", thermometer: "🌡️", thumbsup: "👍", thumbsdown: "👎️", ticket: "🎫", truck: "🚚", turtle: "🐢", tv: "📺️",
  unlock: "🔓️", vertical_traffic_light: "🚦", warning: "⚠️", watch: "⌚️", wastebasket: "🗑️", wave: "👋", white_check_mark: "✅",
  wrench: "🔧", x: "❌", yellow_circle: "🟡", zap: "⚡️", zzz: "💤",
};

/** The emoji of the known tags, and the others as words. */
export function split(tags) {
  const known = tags.filter((tag) => Object.hasOwn(EMOJI, tag));
  return { emoji: known.map((tag) => [EMOJI[tag], tag]), words: tags.filter((tag) => !Object.hasOwn(EMOJI, tag)) };
}
