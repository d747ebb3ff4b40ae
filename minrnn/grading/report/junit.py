"""JUnit XML, as GitLab, Jenkins and CodeGrade read it: one case per output, so that passed/total is partial credit.

There is no single standard; this keeps to what all of them know: no properties, no nested suites.
"""

import xml.etree.ElementTree as ET

from minrnn.grading.outcome.result import FunctionResult, Grade
from minrnn.grading.report.words import FAILED_TO_RUN, cases, prepared, reason, remarks, verdict


def render(grade: Grade, *, hints: int = 2, skip: bool = False) -> str:
    """Return the document. skip: functions that are not written count as skipped and not as failed."""
    grade = prepared(grade)
    profile = grade.course.get("profile") or "minrnn"
    suite = ET.Element("testsuite", name=profile)
    for function in grade.functions:
        _add_cases(suite, profile, function, hints, skip)
    root = ET.Element("testsuites")
    root.append(suite)
    suite.set("tests", str(len(suite)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("time", f"{grade.run.get('seconds') or 0.0:.3f}")
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _add_cases(suite: ET.Element, profile: str, function: FunctionResult, hints: int, skip: bool) -> None:
    parts = cases(function, hints)
    for number, part in enumerate(parts):
        case = ET.SubElement(suite, "testcase", classname=f"{profile}.{function.name}", name=part.name)
        case.set("time", f"{function.seconds / len(parts):.3f}")
        if not part.passed:
            output = next((output for output in function.outputs if output.name == part.name), None)
            kind = function.status if function.status in FAILED_TO_RUN else reason(function, hints, output)
            _add_failure(case, function, kind, part.message, skip)
        printed = [part.message] if part.passed and part.message else []
        if number == 0:
            printed += [note.message for note in remarks(function, hints)]
        if printed:
            ET.SubElement(case, "system-out").text = "\n".join(printed)


def _add_failure(case: ET.Element, function: FunctionResult, kind: str, message: str, skip: bool) -> None:
    if function.status == "not-implemented":
        kind = "not-implemented"
        if skip:
            ET.SubElement(case, "skipped", message=verdict(function))
            return
    tag = "error" if function.status in (*FAILED_TO_RUN, "environment") else "failure"
    ET.SubElement(case, tag, message=message.partition("\n")[0], type=kind).text = message
