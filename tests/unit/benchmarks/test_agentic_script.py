import json
from typing import Any

import pytest

from backends.reader import Passage
from benchmarks.agentic_counting import read_counts, since
from benchmarks.agentic_prompts import ANSWER, GRADED, IMPROVE, ONE_WORD
from benchmarks.agentic_script import ScriptedModel, UnknownQuestion, tokens
from nodes.prompts import (
    answer_prompt,
    grading_prompts,
    rewrite_prompt,
    shared_beginning,
    verify_prompt,
)
from nodes.reading import read_rewriting
from tests.fakes import passage

QUESTION = "How high is the Elmyew station?"
FACT = "The tower of the Figoak plant is 20 m high."
CASE = {"question": QUESTION, "rewrites": ["height of Elmyew", "Figoak tower"], "fact": FACT}
CHOICE = {"structured_outputs": {"choice": ["yes", "no"]}, "max_completion_tokens": 1}


@pytest.fixture
def model() -> ScriptedModel:
    other = {"question": "What is Elmyew?", "rewrites": [], "fact": "Nothing."}
    return ScriptedModel([other, CASE], answer_tokens=40)


def asked(prompt: Any) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in prompt]


def found() -> list[Passage]:
    texts = ("Elmyew is a station.", f"Yes: {FACT}", "Elmyew again.")
    return [passage(text, source=f"docs/{n}.md", also_in=[]) for n, text in enumerate(texts)]


def test_each_numbered_document_is_graded_by_its_own_text(model: ScriptedModel) -> None:
    prompts = grading_prompts(shared_beginning(QUESTION, found(), b"secret"), 3)
    replies = [model.reply(CHOICE, asked(prompt)) for prompt in prompts]
    assert [reply.text for reply in replies] == ["no", "yes", "no"]
    assert [reply.length for reply in replies] == [1, 1, 1]
    assert {reply.kind for reply in replies} == {"grade"}


def test_a_json_grade_costs_eight_tokens_as_llama_3_splits_it(model: ScriptedModel) -> None:
    schema = {"properties": {"binary_score": {"enum": ["yes", "no"]}}}
    body = {"response_format": {"json_schema": {"schema": schema}}}
    prompt = [("user", GRADED.format(document=FACT, question=QUESTION))]
    reply = model.reply(body, asked(prompt))
    assert json.loads(reply.text) == {"binary_score": "yes"}
    assert reply.pieces == ['{"', "binary", "_score", '":', ' "', "yes", '"}']
    assert reply.length == 8


def test_a_free_grade_is_one_word_and_its_end(model: ScriptedModel) -> None:
    reply = model.reply({}, asked([("user", f"{QUESTION} Something else. {ONE_WORD}")]))
    assert (reply.text, reply.length) == ("no", 2)


def test_an_answer_has_its_length_and_cites(model: ScriptedModel) -> None:
    prompt = answer_prompt(shared_beginning(QUESTION, found(), b"secret"))
    reply = model.reply({"max_completion_tokens": 768}, asked(prompt))
    assert reply.length == 40
    assert reply.text.startswith("The tower of the Figoak plant is 20 m high [1].")


def test_an_answer_is_cut_at_its_limit(model: ScriptedModel) -> None:
    prompt = [("user", ANSWER.format(question=QUESTION, context=FACT))]
    reply = model.reply({"max_tokens": 10}, asked(prompt))
    assert (reply.length, reply.cut) == (10, True)


def test_without_the_fact_the_model_says_that_it_does_not_know(model: ScriptedModel) -> None:
    ours = answer_prompt(shared_beginning(QUESTION, found()[:1], b"secret"))
    theirs = [("user", ANSWER.format(question=QUESTION, context="Elmyew."))]
    assert model.reply({}, asked(ours)).text == "NOT_FOUND"
    assert model.reply({}, asked(theirs)).text == "I do not know."


def test_a_claim_is_confirmed(model: ScriptedModel) -> None:
    prompt = verify_prompt(shared_beginning(QUESTION, found(), b"secret"), FACT, [2])
    assert model.reply(CHOICE, asked(prompt)).kind == "verify"


def test_rewriting_goes_to_the_next_query(model: ScriptedModel) -> None:
    shared = shared_beginning(QUESTION, found(), b"secret")
    first = model.reply({}, asked(rewrite_prompt(shared, [QUESTION])))
    assert read_rewriting(first.text).queries == ["height of Elmyew"]
    second = model.reply({}, asked(rewrite_prompt(shared, [QUESTION, "height of Elmyew"])))
    assert read_rewriting(second.text).queries == ["Figoak tower"]
    theirs = model.reply({}, asked([("user", IMPROVE.format(question="height of Elmyew"))]))
    assert theirs.text == "Figoak tower"


def test_an_agent_searches_and_gives_up_at_last(model: ScriptedModel) -> None:
    body = {"tools": [{"type": "function"}]}
    first = model.reply(body, asked([("user", QUESTION)]))
    assert first.search == QUESTION
    turns = [("user", QUESTION), ("user", "height of Elmyew"), ("user", "Figoak tower")]
    assert model.reply(body, asked(turns)).search is None


def test_an_unknown_question_is_an_error(model: ScriptedModel) -> None:
    with pytest.raises(UnknownQuestion):
        model.reply({}, asked([("user", "Who?")]))


def test_every_character_belongs_to_one_token() -> None:
    text = 'It\'s 12345 "quoted_words"\n\n  and é☃ — {"a": 1}\t\n'
    assert "".join(tokens(text)) == text


def test_metrics_are_summed_over_their_labels() -> None:
    page = """# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="tiny"} 10.0
vllm:prompt_tokens_total{engine="1",model_name="tiny"} 5.0
vllm:prompt_tokens_created{engine="0"} 1.7e9
vllm:request_success_total{engine="0",finished_reason="stop"} 1.0
vllm:request_success_total{engine="0",finished_reason="length"} 2.0
vllm:prefix_cache_queries_total{engine="0"} 15.0
vllm:prefix_cache_hits_total{engine="0"} 4.0
simulated:tokens{kind="grade"} 6
"""
    counts = read_counts(page)
    assert counts["prompt_tokens"] == 15
    assert counts["request_success"] == 3
    assert counts["tokens_grade"] == 6
    assert since({}, counts)["computed"] == 11
