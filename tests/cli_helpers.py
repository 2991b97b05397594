"""Commands that must fail."""

from ase_wander.cli import main


def fails(capsys, folder, *words, code=2):
    """Run a command that must fail; returns its one line, and checks that `folder` stays as it was."""
    before = sorted(path.name for path in folder.iterdir())
    try:
        status = main([str(word) for word in words])
    except SystemExit as exit:  # argparse leaves this way
        status = exit.code
    error = capsys.readouterr().err
    assert status == code
    assert error.startswith("ase-wander: error: ") and error.count("\n") == 1 and "Traceback" not in error
    assert sorted(path.name for path in folder.iterdir()) == before
    return error
