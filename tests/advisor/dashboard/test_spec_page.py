import pytest
import yaml

from advisor.run import create_run
from specs.spec import load_spec, parse_spec

IMPOSSIBLE = """
schema: 1
name: impossible
task: {kind: image-classification, data: digits}
targets: [stm32h743:tflm]
limits: {flash: {max: 2 KiB}}
"""


def field(app, name):
    """The widget of a field, whatever its kind."""
    kinds = (app.text_input, app.selectbox, app.multiselect, app.number_input, app.checkbox, app.text_area)
    return next(widget for kind in kinds for widget in kind if (widget.key or "").endswith(f":{name}"))


def spec_of(app):
    return parse_spec(app.session_state["spec_text"])


def write(app, text):
    app.radio[0].set_value("YAML").run()
    return field(app, "yaml").set_value(text).run()


def button(app, label):
    return next(widget for widget in app.button if widget.label == label)


def test_it_starts_with_a_valid_spec_and_its_feasibility(show, said):
    app = show("spec_page")
    text = said(app)
    assert "Valid spec" in text
    assert "Nothing rules it out on host:onnxruntime." in text
    assert "Input: 8×8×1, 10 classes" in text
    assert "advisor search digits.yaml" in text
    assert list(app.dataframe[0].value["limit"])[:3] == ["latency", "flash", "accuracy"]
    assert [widget.label for widget in app.download_button] == ["Download the YAML"]


def test_the_form_gives_back_the_spec_it_was_filled_from(show):
    app = show("spec_page")
    starts = app.selectbox[0].options
    assert {"example digits", "example doorbell", "example factory-camera", "an empty spec"} <= set(starts)
    from specs.catalog import root

    for name in (start.removeprefix("example ") for start in starts if start.startswith("example")):
        app.selectbox[0].select(f"example {name}")
        button(app, "Start over from it").click().run()
        assert not app.exception
        assert spec_of(app) == load_spec(root() / "examples" / f"{name}.yaml")


def test_an_error_is_one_line_with_its_key_path(show, said):
    app = show("spec_page")
    field(app, "latency.max").set_value("50").run()
    assert "spec: limits.latency.max: time needs a unit; seen '50'" in said(app)
    assert "Nothing else is asked before the spec is valid." in said(app)
    assert not app.dataframe
    assert not app.download_button
    field(app, "latency.max").set_value("50 ms").run()
    assert "Valid spec" in said(app)
    assert spec_of(app).limit("latency").bound == 50.0


def test_what_is_left_empty_is_unconstrained(show):
    app = show("spec_page")
    field(app, "latency.max").set_value("").run()
    assert spec_of(app).limit("latency") is None


def test_a_new_limit_offers_what_goes_with_it(show, said):
    app = show("spec_page")
    field(app, "battery.min").set_value("2 y").run()
    assert "battery life needs capacity" in said(app)
    for key, value in (("capacity", "2400 mAh"), ("voltage", "3 V"), ("every", "1 min")):
        field(app, f"battery.{key}").set_value(value)
    app.run()
    assert spec_of(app).limit("battery").battery.capacity_mah == 2400
    field(app, "battery.soft").check().run()
    assert spec_of(app).limit("battery").soft


def test_every_field_reaches_the_spec(show):
    app = show("spec_page")
    field(app, "name").set_value("mine")
    field(app, "kind").set_value("audio-classification")
    field(app, "data").set_value("somewhere/data")
    field(app, "targets").set_value(["nrf52840:tflm"])
    field(app, "objectives").set_value(["accuracy", "flash"])
    field(app, "pipeline").set_value("mfcc: 15 ms\n\nvote: 100 us")
    field(app, "feasible_probability").set_value("80 %")
    field(app, "trials").set_value(7)
    field(app, "time").set_value("3 min")
    field(app, "measurements").set_value(2)
    field(app, "seed").set_value(11)
    field(app, "pruning").set_value("0, 0.3")
    field(app, "quantization").set_value(["int8"])
    app.run()
    field(app, "frontend").set_value("mfcc")
    field(app, "normalization").set_value("sample").run()
    assert not app.exception
    spec = spec_of(app)
    assert (spec.name, spec.task.kind, spec.task.data) == ("mine", "audio-classification", "somewhere/data")
    assert (spec.task.frontend, spec.task.normalization) == ("mfcc", "sample")
    assert [target.id for target in spec.targets] == ["nrf52840:tflm"]
    assert spec.objectives == ("accuracy", "flash")
    assert spec.pipeline == (("mfcc", 15.0), ("vote", 0.1))
    assert spec.feasible_probability == 0.8
    search = spec.search
    assert (search.trials, search.time_s, search.measurements, search.seed) == (7, 180.0, 2, 11)
    assert (search.pruning, search.quantization) == ((0.0, 0.3), ("int8",))


def test_data_that_does_not_exist_yet_is_assumed_and_said(show, said):
    app = show("spec_page")
    field(app, "data").set_value("nowhere/pictures").run()
    assert "ASSUMED: nowhere/pictures does not exist yet" in said(app)


def test_data_that_is_damaged_is_said(show, said, tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    app = show("spec_page")
    field(app, "data").set_value("bad.npz").run()
    assert "bad.npz" in said(app)
    assert not app.exception


def test_the_yaml_can_be_edited_and_goes_back_to_the_form(show, said):
    app = show("spec_page")
    field(app, "latency.max").set_value("7 ms").run()
    app.radio[0].set_value("YAML").run()
    text = field(app, "yaml").value
    assert yaml.safe_load(text)["limits"]["latency"]["max"] == "7 ms"
    field(app, "yaml").set_value(text.replace("7 ms", "8 ms")).run()
    assert spec_of(app).limit("latency").bound == 8.0
    app.radio[0].set_value("Form").run()
    assert field(app, "latency.max").value == "8 ms"
    assert "Valid spec" in said(app)


def test_yaml_with_an_error_stays_yaml_until_it_is_corrected(show, said):
    app = show("spec_page")
    write(app, "schema: 1\nname: x\nlimit: {}\n")
    assert "spec: limit: unknown key" in said(app)
    app.radio[0].set_value("Form").run()
    assert "correct the YAML first" in said(app)
    assert "limit: {}" in field(app, "yaml").value
    assert not app.exception


@pytest.mark.parametrize("text", ["", "- a\n- b", "a: &x 1\nb: *x", "{" * 50, "name: !!python/object:os.system x", "1"])
def test_text_that_is_no_spec_is_one_error(show, said, text):
    app = show("spec_page")
    write(app, text)
    assert not app.exception
    assert len(app.error) == 1
    assert "\n" not in app.error[0].value


def test_markup_in_a_spec_is_shown_as_written(show):
    app = show("spec_page")
    write(app, "schema: 1\nname: '![x](http://example.com/x)'\n")
    assert r"\!\[x\]\(http\:" in app.error[0].value


def test_coming_back_to_the_page_finds_the_spec_as_it_was(show):
    app = show("spec_page")
    field(app, "latency.max").set_value("7").run()  # not valid yet
    kept = {key: app.session_state[key] for key in ("spec_text", "spec_generation", "spec_mode_shown")}
    again = show("spec_page", **kept)
    assert field(again, "latency.max").value == "7"


def test_an_impossible_spec_names_what_binds_and_the_ways_out(show, said):
    app = show("spec_page")
    write(app, IMPOSSIBLE)
    text = said(app)
    assert "No candidate of the whole search space can meet it." in text
    assert "Binds: flash" in text
    assert "Ways out" in text
    assert "makes it possible on stm32h743:tflm" in text
    assert "NO" in list(app.dataframe[0].value["reach"])


def test_chips_that_pass_are_listed(show, said):
    app = show("spec_page")
    assert "Chips that pass" in said(app)
    assert len(app.dataframe[-1].value) > 0


def test_a_run_can_be_started_from_again(spec, show, tmp_path):
    create_run(spec, tmp_path / "runs" / "demo", {}).ledger.close()
    app = show("spec_page")
    app.selectbox[0].select("run demo")
    button(app, "Start over from it").click().run()
    assert spec_of(app) == spec


def test_a_run_with_a_damaged_spec_is_said(show, said, tmp_path):
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "spec.yaml").write_text("name: [")
    app = show("spec_page")
    app.selectbox[0].select("run demo")
    button(app, "Start over from it").click().run()
    assert "Not a spec to start from." in said(app)
    assert "Valid spec" in said(app)


def test_a_spec_without_limits_is_possible(show, said):
    app = show("spec_page")
    write(app, "schema: 1\nname: free\ntask: {kind: image-classification, data: digits}\ntargets: [host:onnxruntime]\n")
    assert "Nothing rules it out" in said(app)
