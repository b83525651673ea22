"""One picture of the results: the share of the floor that each worker reaches, workload by workload."""

from pathlib import Path

from report import median_ms


def write(document: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    results = document["results"]
    names = list(dict.fromkeys(name for result in results.values() for name in result["workers"]))
    palette = plt.get_cmap("tab10")
    colours = {name: "black" if name == "mica" else palette(index) for index, name in enumerate(names)}
    figure, panels = plt.subplots(len(results), 1, figsize=(11, 3.6 * len(results)), squeeze=False, sharex=True)
    for panel, (dtype, result) in zip(panels[:, 0], results.items()):
        workloads = list(result["turns"])
        width = 0.85 / len(result["workers"])
        for index, name in enumerate(result["workers"]):
            places, shares = [], []
            for place, workload in enumerate(workloads):
                if name in result["turns"][workload]:
                    places.append(place + (index + 0.5) * width - 0.425)
                    shares.append(100 * result["floor_ms"][workload] / median_ms(result["turns"][workload][name]))
            bars = panel.bar(places, shares, width, color=colours[name], label=name)
            panel.bar_label(bars, fmt="%.0f", fontsize=7)
        panel.set_xticks(range(len(workloads)), workloads)
        panel.set_ylim(0, 100)
        panel.set_ylabel("% of the floor")
        panel.set_title(f"{dtype}: share of what the machine can do (longer is faster)", fontsize=10)
        panel.legend(fontsize=7, ncols=4, loc="upper left")
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{document['processor']}, {document['threads']} threads", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
