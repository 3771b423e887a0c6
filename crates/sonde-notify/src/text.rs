//! Text from targets on its way into other people's markup: on one line, bounded, and meaning nothing there.

/// One line of at most `most` UTF-16 units, as most vendors count.
///
/// Without control characters, and without those that turn the direction of text around to make it look like other text.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let plain = text.chars().filter_map(|c| match c {
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        '\u{2028}' | '\u{2029}' => Some(' '),
        c if c.is_control() => Some(' '),
        c => Some(c),
    });
    let plain: String = plain.collect();
    shortened(plain.trim(), most)
}

/// Its beginning and `…` where it is longer than `most` UTF-16 units.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if length(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let fits = |c: &char| {
        let fits = c.len_utf16() <= left;
        left = left.saturating_sub(c.len_utf16());
        fits
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

pub(crate) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// For text and for values of attributes.
pub(crate) fn html(text: &str) -> String {
    replaced(text, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#39;"),
        _ => None,
    })
}

/// Slack's three: mentions and links begin with `<`.
pub(crate) fn slack(text: &str) -> String {
    replaced(text, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    })
}

/// For the dialects of Discord, Mattermost and Rocket.Chat.
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut in_word = false;
    while let Some(c) = characters.next() {
        let followed = characters.peek().is_some_and(|next| next.is_alphanumeric());
        let means_something = match c {
            // Within a word it is itself, and URLs are full of them.
            '_' => !(in_word && followed),
            _ => r"\*~`|[]<>".contains(c),
        };
        if means_something {
            escaped.push('\\');
        }
        escaped.push(c);
        in_word = c.is_alphanumeric() || c == '_' && in_word;
    }
    without_mentions(&escaped)
}

/// Nobody is called by an `@` that something of no width follows.
pub(crate) fn without_mentions(text: &str) -> String {
    replaced(text, |c| (c == '@').then_some("@\u{200b}"))
}

fn replaced(text: &str, by: impl Fn(char) -> Option<&'static str>) -> String {
    let mut replaced = String::with_capacity(text.len());
    for c in text.chars() {
        match by(c) {
            Some(other) => replaced.push_str(other),
            None => replaced.push(c),
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_and_is_cut_at_whole_characters() {
        assert_eq!(one_line("a\r\nBcc: b\0\u{2028}c", 99), "a  Bcc: b  c");
        assert_eq!(one_line("\u{202e}moc.elpmaxe", 99), "moc.elpmaxe");
        assert_eq!(one_line("abcdef", 6), "abcdef");
        assert_eq!(one_line("abcdefg", 6), "abcde…");
        assert_eq!(one_line("🔥🔥🔥", 4), "🔥…");
    }

    #[test]
    fn hostile_text_means_nothing_in_any_markup() {
        let hostile = r#"<!channel> & <b onclick="x">'"#;
        assert_eq!(
            html(hostile),
            "&lt;!channel&gt; &amp; &lt;b onclick=&quot;x&quot;&gt;&#39;"
        );
        assert_eq!(
            slack("<!channel> & <@U1>"),
            "&lt;!channel&gt; &amp; &lt;@U1&gt;"
        );
        assert_eq!(
            markdown("[a](https://x) *b* _c_ `d` @everyone <@1>"),
            "\\[a\\](https://x) \\*b\\* \\_c\\_ \\`d\\` @\u{200b}everyone \\<@\u{200b}1\\>"
        );
        assert_eq!(
            markdown("https://a.example/b_c__d"),
            "https://a.example/b_c\\__d"
        );
    }
}
