"""The student before its first step: what is copied, what is random, and by which seed."""

import pytest
import torch
from helpers.students import DEFINITION, SHAPES, folder_of, random_model, run_of, write_vocabulary

from compactbio.architectures import ARCHITECTURES
from compactbio.errors import UserError
from compactbio.students.initialisation import initialise_student, student_of_layers
from compactbio.students.tokenizers import build_tokenizer, save_tokenizer


def is_copied(student, teacher, name):
    return torch.equal(student.state_dict()[name], teacher.state_dict()[name])


@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize("head", ["reference", "sound"])
def test_layers_and_embeddings_come_from_the_teacher(tmp_path, architecture, head):
    teacher = random_model(architecture, "AutoModelForMaskedLM")
    folders = {"teacher": folder_of(tmp_path, architecture)}
    record = ARCHITECTURES[architecture]
    layers = [3, 1] if record.refused_layers([3, 1]) is None else [0, 3]
    result = initialise_student(run_of({"teacher_layers": layers}, architecture, head), **folders)
    given, made = teacher.state_dict(), result.model.state_dict()
    stack = f"{record.encoder}.{record.layers}."
    assert result.model.config.num_hidden_layers == 2
    in_encoder = 0
    for name, value in made.items():
        if name.startswith(f"{stack}"):
            number, rest = name.removeprefix(stack).split(".", 1)
            assert torch.equal(value, given[f"{stack}{layers[int(number)]}.{rest}"]), name
            in_encoder += 1
        elif name.startswith(f"{record.encoder}."):
            assert torch.equal(value, given[name]), name
            in_encoder += 1
        elif head == "sound":
            assert torch.equal(value, given[name]), name
    assert in_encoder
    decoder = result.model.get_output_embeddings()
    assert decoder.weight is result.model.get_input_embeddings().weight
    if head == "reference":
        assert torch.count_nonzero(decoder.bias) == 0
        head_names = [name for name in made if not name.startswith(f"{record.encoder}.")]
        transform = next(n for n in head_names if made[n].dim() == 2 and not torch.equal(made[n], decoder.weight))
        assert not torch.equal(made[transform], given[transform])
        assert 0.005 < float(made[transform].std()) < 0.03  # about the configurations' initializer_range
    assert result.origin["mlm_head"] == ("teacher" if head == "sound" else "random")
    assert result.origin["teacher_layers"] == layers and result.origin["from"] == "big"


def test_dropout_is_the_configuration_s(tmp_path):
    folders = {"teacher": folder_of(tmp_path, "bert")}
    student = initialise_student(run_of({"teacher_layers": [0]}), **folders).model
    assert {m.p for m in student.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}


def test_the_seed_decides_what_is_not_copied(tmp_path):
    folders = {"teacher": folder_of(tmp_path, "bert")}
    name = "cls.predictions.transform.dense.weight"
    heads = [
        initialise_student(run_of({"teacher_layers": [0]}, seed=seed), **folders).model.state_dict()[name]
        for seed in (1, 1, 2)
    ]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize("layers", [[0, 4], [-1], []])
def test_layers_beyond_the_teacher_are_refused(tmp_path, layers):
    with pytest.raises(UserError, match=r"models\.Mine\.student\.teacher_layers.*4 layers"):
        student_of_layers(random_model("bert"), layers, 1, copy_head=True, key="models.Mine.student.teacher_layers")


@pytest.mark.parametrize("architecture", SHAPES)
def test_a_base_checkpoint_keeps_its_head(tmp_path, architecture):
    base = random_model(architecture, "AutoModelForMaskedLM")
    folders = {"checkpoint": folder_of(tmp_path, architecture)}
    result = initialise_student(run_of({"checkpoint": "base"}, architecture), **folders)
    assert all(is_copied(result.model, base, name) for name in base.state_dict())
    assert result.origin["mlm_head"] == "checkpoint"


@pytest.mark.parametrize("architecture", SHAPES)
def test_a_base_checkpoint_without_a_head_gets_a_random_one(tmp_path, architecture, caplog):
    base = random_model(architecture, "AutoModel")
    folders = {"checkpoint": folder_of(tmp_path, architecture, "AutoModel")}
    results = [
        initialise_student(run_of({"checkpoint": "base"}, architecture), **folders).model.state_dict() for _ in range(2)
    ]
    copied = [name for name in base.state_dict() if not name.startswith("pooler.")]
    assert all(
        torch.equal(results[0][f"{ARCHITECTURES[architecture].encoder}.{name}"], base.state_dict()[name])
        for name in copied
    )
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())
    assert "has no MLM head: the student's starts random" in caplog.text


def test_a_teacher_without_a_head_gives_layers_but_no_head(tmp_path, caplog):
    folders = {"teacher": folder_of(tmp_path, "bert", "AutoModel")}
    result = initialise_student(run_of({"teacher_layers": [0]}, head="sound"), **folders)
    assert result.origin["mlm_head"] == "random" and "has no MLM head" in caplog.text


def test_a_shape_takes_its_vocabulary_from_the_tokenizer(tmp_path):
    folders = {"tokenizer": folder_of(tmp_path, "bert")}
    shape = {**SHAPES["bert"], "hidden_size": 16}
    result = initialise_student(run_of({"shape": shape}), **folders)
    assert result.model.config.vocab_size == len(result.tokenizer) == DEFINITION["vocabulary_size"]
    assert result.model.config.hidden_size == 16 and result.origin["shape"] == shape
    with pytest.raises(UserError, match=r"models\.Mine\.student\.shape: bert refuses"):
        initialise_student(run_of({"shape": {"hidden_size": "wide"}}), **folders)


@pytest.mark.parametrize("architecture", ["bert", "electra", "roberta"])
def test_a_shape_may_be_of_another_architecture_than_the_teacher_and_pads_with_its_tokenizer_s_id(
    tmp_path, architecture
):
    teacher = folder_of(tmp_path, "mobilebert")
    words = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]", "cell"]  # padding is the fifth
    other = tmp_path / "other"
    save_tokenizer(build_tokenizer(write_vocabulary(tmp_path / "vocab.txt", words), lower_case=False), other)
    shape = {key: value for key, value in SHAPES[architecture].items() if key != "pad_token_id"}
    for folder, pad in ((teacher, 0), (other, 4)):
        made = initialise_student(run_of({"shape": shape}, architecture), tokenizer=folder).model
        assert made.config.model_type == architecture and made.config.pad_token_id == pad
    initialise_student(run_of({"shape": shape}, architecture), tokenizer=teacher, teacher=teacher)
    with pytest.raises(UserError, match=r"token by token, also one that reads no logits; models\.Mine\.tokenizer"):
        initialise_student(run_of({"shape": shape}, architecture), tokenizer=other, teacher=teacher)


def test_special_tokens_of_a_shape_are_the_tokenizer_s(tmp_path):
    folders = {"tokenizer": folder_of(tmp_path, "bert")}
    shape = {key: value for key, value in SHAPES["modernbert"].items() if not key.endswith("_token_id")}
    configuration = initialise_student(run_of({"shape": shape}, "modernbert"), **folders).model.config
    assert configuration.layer_types == ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    ids = {name: getattr(configuration, f"{name}_token_id") for name in ("pad", "cls", "bos", "sep", "eos")}
    assert ids == {"pad": 0, "cls": 2, "bos": 2, "sep": 3, "eos": 3}
    bert = initialise_student(run_of({"shape": SHAPES["bert"]}), **folders).model.config
    assert (bert.pad_token_id, bert.bos_token_id, bert.eos_token_id) == (0, None, None)
    with pytest.raises(UserError, match=r"shape: modernbert refuses .* must be equal to the number of `layer_types`"):
        initialise_student(run_of({"shape": shape | {"layer_types": ["full_attention"]}}, "modernbert"), **folders)


def test_what_does_not_go_together_is_refused(tmp_path):
    teacher = folder_of(tmp_path, "bert")
    with pytest.raises(UserError, match="needs the folder that --checkpoint names"):
        initialise_student(run_of({"checkpoint": "base"}), teacher=teacher)
    with pytest.raises(UserError, match=r"models\.Mine\.architecture"):
        run = run_of({"teacher_layers": [0]}, "distilbert")
        initialise_student(run, teacher=teacher)
    other = tmp_path / "other"
    save_tokenizer(build_tokenizer(write_vocabulary(tmp_path / "vocab.txt"), lower_case=True), other)
    with pytest.raises(UserError, match=r"tokenizers of .* differ"):
        run = run_of({"teacher_layers": [0]})
        initialise_student(run, teacher=teacher, tokenizer=other)


@pytest.mark.parametrize("student", [{}, {"shape": {}, "teacher_layers": [0]}])
def test_a_run_written_by_hand_names_one_kind_of_student(student):
    with pytest.raises(UserError, match="exactly one of teacher_layers, checkpoint and shape"):
        initialise_student(run_of(student), teacher=None, checkpoint=None, tokenizer=None)
