"""The results as Markdown. A document is what compare.py writes to compare.json."""

import statistics

NOISY = 0.25  # cores busy with other work in the turns behind a figure


def median_ms(turns: list[dict]) -> float:
    return statistics.median(turn["ms"] for turn in turns)


def best_peer(result: dict, workload: str) -> tuple[str, float] | None:
    """The fastest peer whose outputs are acceptable."""
    times = {
        name: median_ms(turns)
        for name, turns in result["turns"][workload].items()
        if name != "mica" and result["workers"][name]["acceptable"]
    }
    return min(times.items(), key=lambda item: item[1]) if times else None


def number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def times_table(result: dict, sentences: int) -> str:
    """Milliseconds; in brackets the share of the floor. The last column counts sentences a second."""
    workloads = list(result["turns"])
    heads = [f"{w}, ms" if w != "sentences" else "sentences/s" for w in workloads]
    text = row(["", *heads, "worst cosine", "peak RSS, MB"])
    text += row(["---"] * (len(workloads) + 3))
    for name, worker in result["workers"].items():
        cells = [name if worker["acceptable"] else f"{name} (outputs differ)"]
        for workload in workloads:
            turns = result["turns"][workload].get(name)
            if turns is None:
                cells.append("")
                continue
            ms = median_ms(turns)
            shown = number(ms) if workload != "sentences" else number(1e3 * sentences / ms)
            mark = "?" if statistics.median(turn["others"] for turn in turns) > NOISY else ""
            best = best_peer(result, workload)
            bold = "**" if best and best[0] == name else ""
            cells.append(f"{bold}{shown}{bold} ({100 * result['floor_ms'][workload] / ms:.0f}%){mark}")
        cells += [f"{worker['agreement']['worst_cosine']:.6f}", str(worker["peak_rss_mb"])]
        text += row(cells)
    floors = [result["floor_ms"][w] for w in workloads]
    shown = [number(ms) if w != "sentences" else number(1e3 * sentences / ms) for w, ms in zip(workloads, floors)]
    return text + row(["*floor*", *shown, "", ""])


def ratio_table(result: dict) -> str:
    """mica's speed over each peer's: above 1 mica is faster."""
    workloads = list(result["turns"])
    text = row(["mica over", *workloads])
    text += row(["---"] * (len(workloads) + 1))
    mica = {w: median_ms(result["turns"][w]["mica"]) for w in workloads}
    best = {w: best_peer(result, w) for w in workloads}
    over_best = [f"**{best[w][1] / mica[w]:.2f}** ({best[w][0]})" if best[w] else "" for w in workloads]
    text += row(["**the best peer**", *over_best])
    for name in result["workers"]:
        if name != "mica":
            ratios = {w: median_ms(result["turns"][w][name]) / mica[w] for w in workloads if name in result["turns"][w]}
            text += row([name, *(f"{ratios[w]:.2f}" if w in ratios else "" for w in workloads)])
    return text


def spread(result: dict) -> str:
    """How far the slowest round of a figure lies above its fastest, at most and in the middle."""
    spreads = [
        100 * (max(turn["ms"] for turn in turns) / min(turn["ms"] for turn in turns) - 1)
        for workers in result["turns"].values()
        for turns in workers.values()
    ]
    return f"{statistics.median(spreads):.0f} % in the middle, {max(spreads):.0f} % at most"


def markdown(document: dict) -> str:
    machine, threads = document["machine"], str(document["threads"])
    bfloat16 = machine["bfloat16_gflops"]
    text = "# mica beside its peers\n\n"
    text += f"{document['processor']}, {threads} threads, {document['rounds']} interleaved rounds, medians. "
    text += f"Ceilings ({machine['simd']}): float32 {machine['float32_gflops'][threads]:.0f} GFLOP/s, "
    text += f"bfloat16 {bfloat16[threads]:.0f} GFLOP/s, " if bfloat16 else "no bfloat16 products, "
    text += f"reading {machine['cache_read_gbs'][threads]:.0f} GB/s from the last-level cache "
    text += f"({machine['last_level_cache_bytes'] >> 20} MB) "
    text += f"and {machine['memory_read_gbs'][threads]:.0f} GB/s from memory.\n"
    text += f"The sentences: {document['sentences']} texts, {document['sentence_tokens']} tokens.\n"
    for dtype, result in document["results"].items():
        text += f"\n## {dtype}\n\nIn brackets the share of the floor; bold is the best peer.\n\n"
        text += times_table(result, document["sentences"])
        if "mica" in result["workers"]:
            text += "\n" + ratio_table(result)
        text += f"\nThe slowest round of a figure lies above its fastest by {spread(result)}.\n"
        for name, worker in result["workers"].items():
            if worker["cores_used_resting"] > 0.02:
                text += f"{name} used {worker['cores_used_resting']:.2f} cores while others worked.\n"
    text += "\n## Versions and settings\n\n"
    for result in document["results"].values():
        text += "".join(f"- {name}: {worker['settings']}\n" for name, worker in result["workers"].items())
    if document["mkl_vendor_override"]:
        text += "- PyTorch ran with MKL's vendor check answered (mkl_vendor.c).\n"
    text += "- A question mark: other processes kept more than a quarter of a core busy during this figure.\n"
    return text
