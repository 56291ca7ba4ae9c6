// The texts of a page that are hard to read: less than 4.5 to 1 against what is behind them,
// as the Web Content Accessibility Guidelines define contrast.
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

  function channels(colour) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  }

  function over(above, below) {
    return [0, 1, 2].map((n) => above[n] * above[3] + below[n] * (1 - above[3])).concat(1);
  }

  function luminance(colour) {
    const linear = colour
      .slice(0, 3)
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  }

  function contrast(element) {
    const around = [];
    let opacity = 1;
    for (let each = element; each; each = each.parentElement) {
      const style = getComputedStyle(each);
      around.unshift(channels(style.backgroundColor));
      opacity *= Number(style.opacity);
    }
    const paper = around.reduce((below, above) => over(above, below), [255, 255, 255, 1]);
    const style = getComputedStyle(element);
    const ink = channels(element instanceof SVGElement ? style.fill : style.color);
    ink[3] *= opacity;
    const [dark, light] = [luminance(over(ink, paper)), luminance(paper)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const words = walker.currentNode.data.trim();
    const seen = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!words || !seen || element.closest(".hidden, .skip")) continue;
    const found = contrast(element);
    if (found < 4.5) faint.push(`${words.slice(0, 40)}: ${found.toFixed(2)}`);
  }
  return faint;
}
