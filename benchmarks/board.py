"""The start of a spec that several benchmarks search by: data on a microcontroller, within a model's own bytes."""

BOARD = """
schema: 1
name: {name}
task: {{kind: {kind}, data: "{data}", metric: {metric}}}
targets: [stm32h743:tflm]
limits:
  peak_ram: {{max: {ram}, counts: model}}
  flash: {{max: {flash}, counts: model}}
"""
