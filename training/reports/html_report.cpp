// report.html: curves as inline SVG, a table of the last figures, and the settings.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/training/reports/reports.h"

namespace mica {
namespace {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // step, value
};

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string number(double value) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.5g", value);
  return buffer;
}

std::vector<Curve> curves_of(const TrainerState& state) {
  std::vector<Curve> curves;
  std::map<std::string, size_t> places;
  for (const LogEntry& entry : state.log_history) {
    const double step = find(entry, "step").value_or(0);
    for (const auto& [name, value] : entry) {
      const bool is_speed = name.ends_with("runtime") || name.ends_with("per_second");
      if (name == "step" || name == "epoch" || is_speed || name == "train_loss" || !std::isfinite(value)) continue;
      const auto [place, is_new] = places.emplace(name, curves.size());
      if (is_new) curves.push_back({name, {}});
      curves[place->second].points.emplace_back(step, value);
    }
  }
  return curves;
}

// About five round numbers that cover [low, high].
std::vector<double> ticks(double low, double high) {
  const double rough = (high - low) / 4;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double part = rough / power;
  const double step = power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
  std::vector<double> all;
  for (double at = std::ceil(low / step) * step; at <= high + 1e-9 * step; at += step) all.push_back(at);
  return all;
}

// One chart of one or two curves over the steps.
std::string chart(const std::string& title, const std::vector<const Curve*>& curves) {
  constexpr double kWidth = 560, kHeight = 260, kLeft = 62, kRight = 14, kTop = 14, kBottom = 34;
  double x0 = std::numeric_limits<double>::max(), x1 = -x0, y0 = x0, y1 = -x0;
  for (const Curve* curve : curves) {
    for (const auto& [x, y] : curve->points) {
      x0 = std::min(x0, x);
      x1 = std::max(x1, x);
      y0 = std::min(y0, y);
      y1 = std::max(y1, y);
    }
  }
  if (x1 - x0 < 1) x1 = x0 + 1;
  if (y1 - y0 < 1e-12 * std::max(1.0, std::abs(y1))) {
    const double margin = std::max(1e-6, 0.05 * std::abs(y1));
    y0 -= margin;
    y1 += margin;
  }
  const double padding = 0.05 * (y1 - y0);
  y0 -= padding;
  y1 += padding;
  const auto place_x = [&](double x) { return kLeft + (x - x0) / (x1 - x0) * (kWidth - kLeft - kRight); };
  const auto place_y = [&](double y) { return kTop + (y1 - y) / (y1 - y0) * (kHeight - kTop - kBottom); };

  std::string svg = "<figure><figcaption>" + escaped(title) + "</figcaption><svg viewBox=\"0 0 " + number(kWidth) +
                    " " + number(kHeight) + "\" role=\"img\" aria-label=\"" + escaped(title) + "\">";
  for (const double y : ticks(y0, y1)) {
    svg += "<line class=\"grid\" x1=\"" + number(kLeft) + "\" x2=\"" + number(kWidth - kRight) + "\" y1=\"" +
           number(place_y(y)) + "\" y2=\"" + number(place_y(y)) + "\"/><text x=\"" + number(kLeft - 6) + "\" y=\"" +
           number(place_y(y) + 4) + "\" text-anchor=\"end\">" + number(std::abs(y) < 1e-12 ? 0 : y) + "</text>";
  }
  for (const double x : ticks(x0, x1)) {
    svg += "<text x=\"" + number(place_x(x)) + "\" y=\"" + number(kHeight - 14) + "\" text-anchor=\"middle\">" +
           number(x) + "</text>";
  }
  for (size_t i = 0; i < curves.size(); ++i) {
    const Curve& curve = *curves[i];
    const std::string kind = " class=\"curve" + std::to_string(i) + "\"";
    std::string points;
    for (const auto& [x, y] : curve.points) points += number(place_x(x)) + "," + number(place_y(y)) + " ";
    svg += "<polyline" + kind + " points=\"" + points + "\"/>";
    if (curve.points.size() <= 60) {
      for (const auto& [x, y] : curve.points) {
        svg += "<circle" + kind + " cx=\"" + number(place_x(x)) + "\" cy=\"" + number(place_y(y)) +
               "\" r=\"2.5\"><title>" + escaped(curve.name) + " " + number(y) + " at step " + number(x) +
               "</title></circle>";
      }
    }
    if (curves.size() > 1) {
      svg += "<text" + kind + " x=\"" + number(kWidth - kRight - 4) + "\" y=\"" +
             number(kTop + 14 + 16 * static_cast<double>(i)) + "\" text-anchor=\"end\">" + escaped(curve.name) +
             "</text>";
    }
  }
  return svg + "</svg></figure>\n";
}

std::string rows_of(const Json& settings) {
  std::string rows;
  for (const auto& [name, value] : settings.items()) {
    if (value.is_null()) continue;
    const std::string shown =
        value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace);
    rows += "<tr><th>" + escaped(name) + "</th><td>" + escaped(shown) + "</td></tr>\n";
  }
  return rows;
}

constexpr const char* kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1200px;padding:0 1rem;color:#1d2433;"
    "background:#fff}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}.charts{display:grid;"
    "grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1rem}figure{margin:0;border:1px solid #dfe3ea;"
    "border-radius:8px;padding:.8rem}figcaption{font-weight:600}svg{width:100%;height:auto}svg text{font-size:11px;"
    "fill:#596275}.grid{stroke:#e8ebf0}polyline{fill:none;stroke-width:2}polyline.curve0{stroke:#2563eb}"
    "polyline.curve1{stroke:#d9480f}circle.curve0{fill:#2563eb}circle.curve1{fill:#d9480f}svg text.curve0{fill:#2563eb}"
    "svg text.curve1{fill:#d9480f}table{border-collapse:collapse}th{text-align:left;font-weight:500;padding:.15rem "
    "1.5rem "
    ".15rem 0;color:#596275}td{font-variant-numeric:tabular-nums}"
    "@media(prefers-color-scheme:dark){body{background:#11151c;color:#e3e7ef}figure{border-color:#2b3240}"
    ".grid{stroke:#232a36}}";

class HtmlReport : public TrainerCallback {
 public:
  explicit HtmlReport(std::string path) : path_(std::move(path)) {}
  void on_evaluate(const TrainerContext& context, const LogEntry&) override { write(context); }
  void on_save(const TrainerContext& context, const std::string&) override { write(context); }
  void on_train_end(const TrainerContext& context) override { write(context); }

 private:
  void write(const TrainerContext& context) const {
    const std::string title = context.arguments.output_dir + ": " + context.model.config().model_type.value() + ", " +
                              std::string(name(context.model.task()));
    write_file_atomically(path_, html_report_text(title, context.state, to_json(context.arguments)));
  }
  std::string path_;
};

}  // namespace

std::string html_report_text(const std::string& title, const TrainerState& state, const std::string& settings) {
  const std::vector<Curve> curves = curves_of(state);
  const auto named = [&](const std::string& name) {
    return std::find_if(curves.begin(), curves.end(), [&](const Curve& each) { return each.name == name; });
  };
  std::string charts;
  for (const Curve& curve : curves) {
    // An evaluation's curve shares the chart of the training's curve of that name.
    if (curve.name.starts_with("eval_") && named(curve.name.substr(5)) != curves.end()) continue;
    std::vector<const Curve*> shown{&curve};
    const auto evaluated = named("eval_" + curve.name);
    if (evaluated != curves.end()) shown.push_back(&*evaluated);
    charts += chart(curve.name, shown);
  }
  std::string figures;
  const auto row = [&](const std::string& name, const std::string& value) {
    figures += "<tr><th>" + escaped(name) + "</th><td>" + escaped(value) + "</td></tr>\n";
  };
  row("steps", std::to_string(state.global_step) + " of " + std::to_string(state.max_steps));
  row("epochs", number(state.epoch));
  if (state.best_metric) row("best metric", number(*state.best_metric));
  if (!state.best_model_checkpoint.empty()) row("best checkpoint", state.best_model_checkpoint);
  std::map<std::string, double> last;
  for (const LogEntry& entry : state.log_history) {
    for (const auto& [name, value] : entry) last[name] = value;
  }
  for (const auto& [name, value] : last) {
    if (name != "step" && name != "epoch") row(name, number(value));
  }
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width\"><title>" +
         escaped(title) + "</title><style>" + kStyle + "</style></head><body>\n<h1>" + escaped(title) +
         "</h1>\n<div class=\"charts\">\n" + charts + "</div>\n<h2>Last figures</h2>\n<table>\n" + figures +
         "</table>\n<h2>Settings</h2>\n<table>\n" + rows_of(parse_json(settings, "settings")) +
         "</table>\n</body></html>\n";
}

std::shared_ptr<TrainerCallback> html_report(const std::string& path) {
  return std::make_shared<HtmlReport>(path);
}

}  // namespace mica
