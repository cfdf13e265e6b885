"""How the built-in model is made, and how a lab makes its own.

One sample's way, and the module that has each step:

    data         pictures and masks of a folder or zip file; which validate; which comes next
    augment      a scene from them: real, pasted, rendered or empty; a view, a light, a camera
    rendering    scenes that were never photographed
    network      picture -> alpha matte
    losses       how wrong the matte is
    optimisers   how the weights move to make it less wrong
    step         one step of all this, on a GPU as one recorded piece
    schedule     size of the samples and learning rate over the run
    loop         step after step and again, with checkpoints, logs and validation
    checkpoints  what a run has saved, read again
    grow         a wider network that begins with what a narrower one knows
    restore      a network that begins with an exported file, such as the built-in model
    export       the averaged weights as the ONNX file that the product runs, which may look at each picture twice
    calibrate    its levels in the catalogue
    collect      a data set of a folder of pictures and one of masks, apart from those that test
    label        masks for pictures that have none, drawn by a model, for a person to look at
    evaluate     any such file on pictures with ground truth; plots and sheet draw what came out

`python -m processing.training --help` trains, docs/training.md tells the story. All but `evaluate` need the extra:
pip install -e '.[training]'.
"""
