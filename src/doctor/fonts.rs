//! The fonts a page can be shown with, as fontconfig knows them; Firefox asks it
//! too.

use std::path::Path;

use super::finding::Finding;
use super::programs;

/// Scripts that many pages and names need, by fontconfig's language tags. One
/// font for each is enough.
const EXTRA: [(&str, &[&str], &str); 2] = [
    ("Chinese, Japanese and Korean", &["zh-cn", "ja", "ko"], "fonts-noto-cjk"),
    ("emoji", &["und-zsye"], "fonts-noto-color-emoji"),
];

pub(super) async fn check(search_path: &str) -> Finding {
    // One line for each font: its languages, such as `en|fr|vi`.
    let args = ["--format", "%{lang}\n"];
    match programs::ask(Path::new("fc-list"), &args, search_path).await {
        Ok(list) => judge(&list),
        Err(reason) => Finding::warning(
            "fonts",
            format!("not known: fc-list {reason}"),
            "apt-get install fontconfig fonts-dejavu-core",
        ),
    }
}

fn judge(list: &str) -> Finding {
    let has = |language: &&str| list.lines().any(|font| font.split('|').any(|it| it == *language));
    let count = list.lines().count();
    if !has(&"en") {
        let found = format!("none of {count} fonts has Latin letters");
        return Finding::problem("fonts", found, "apt-get install fonts-dejavu-core");
    }
    let missing: Vec<_> =
        EXTRA.iter().filter(|(_, languages, _)| !languages.iter().all(has)).collect();
    if missing.is_empty() {
        return Finding::ok("fonts", format!("{count}, also for CJK and emoji"));
    }
    let scripts: Vec<_> = missing.iter().map(|(script, ..)| *script).collect();
    let packages: Vec<_> = missing.iter().map(|(.., package)| *package).collect();
    Finding::warning(
        "fonts",
        format!("{count}, but none for {}", scripts.join(" and ")),
        format!("apt-get install {}", packages.join(" ")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn fonts_are_judged_by_the_scripts_they_cover() {
        let all = "en|fr\nja|ko|zh-cn|zh-tw\nund-zsye\n";
        for (list, expected) in [
            (all, Verdict::Ok),
            ("", Verdict::Problem("apt-get install fonts-dejavu-core".into())),
            // `wen` is Sorbian.
            ("wen\nja", Verdict::Problem("apt-get install fonts-dejavu-core".into())),
            ("en|ja\nund-zsye", Verdict::Warning("apt-get install fonts-noto-cjk".into())),
            (
                "\nde|en",
                Verdict::Warning("apt-get install fonts-noto-cjk fonts-noto-color-emoji".into()),
            ),
        ] {
            assert_eq!(judge(list).verdict, expected, "{list:?}");
        }
    }
}
