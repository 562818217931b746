/** Where every page begins. */

import "uplot/dist/uPlot.min.css";
import { data, t } from "./data";
import { zone } from "./format";
import { startMenu } from "./menu";
import { startOverview } from "./overview";
import { refreshParts } from "./refresh";
import { TargetPage } from "./target";
import { startTheme } from "./theme";

/** Agents' figures are the server's: the page is asked again, quietly. */
function startAgents(): void {
  window.setInterval(() => {
    if (!document.hidden) void refreshParts([".agents"]).catch(() => undefined);
  }, 5000);
}

const place = document.getElementById("zone");
if (place) place.textContent = t("timezone", { zone: zone() });
startTheme();
startMenu(data.path ?? "");
if (data.page === "target") new TargetPage().start();
if (data.page === "overview") startOverview(data.path ?? "/");
if (data.page === "agents") startAgents();
