/** Where every page begins. */

import "uplot/dist/uPlot.min.css";
import { data, t } from "./data";
import { zone } from "./format";
import { startMenu } from "./menu";
import { startOverview } from "./overview";
import { TargetPage } from "./target";
import { startTheme } from "./theme";

/** Agents' figures are the server's: the page is asked again, quietly. */
function startAgents(): void {
  window.setInterval(() => {
    if (document.hidden) return;
    void fetch(location.href).then(async (answer) => {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".agents");
      if (answer.ok && fresh) document.querySelector(".agents")?.replaceWith(fresh);
    }, () => undefined);
  }, 5000);
}

const place = document.getElementById("zone");
if (place) place.textContent = t("timezone", { zone: zone() });
startTheme();
startMenu(data.path ?? "");
if (data.page === "target") new TargetPage().start();
if (data.page === "overview") startOverview(data.path ?? "/");
if (data.page === "agents") startAgents();
