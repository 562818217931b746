/** Where every page begins. */

import "uplot/dist/uPlot.min.css";
import { startAlerts } from "./alerts";
import { startCharts } from "./charts";
import { data, t } from "./data";
import { zone } from "./format";
import { showLive } from "./live";
import { startMenu } from "./menu";
import { startOverview } from "./overview";
import { refreshParts } from "./refresh";
import { TargetPage } from "./target";
import { startTheme } from "./theme";

/** Agents' figures are the server's: the page is asked again, and the lamp tells when nobody answers. */
function startAgents(): void {
  const look = (): void => {
    if (document.hidden) return;
    refreshParts([".agents"]).then(
      (fresh) => showLive(fresh ? "on" : "lost"),
      () => showLive("lost"),
    );
  };
  showLive("on");
  window.setInterval(look, 5000);
  document.addEventListener("visibilitychange", look);
}

const place = document.getElementById("zone");
if (place) place.textContent = t("timezone", { zone: zone() });
startTheme();
startMenu(data.path ?? "");
if (data.page === "target" || data.page === "several") new TargetPage().start();
if (data.page === "overview") startOverview(data.path ?? "/");
if (data.page === "charts") startCharts();
if (data.page === "agents") startAgents();
startAlerts();
