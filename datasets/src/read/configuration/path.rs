//! What a document's path says: when it holds from, and what it is a document of.

use super::super::time::TimeFormat;

/// The date in a path, µs since 1970, and the scope beside it: where a folder is dated, the folder that
/// it stands in; else the file's name without date and endings.
pub(super) fn split(path: &str) -> (Option<i64>, String) {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let Some((file, folders)) = parts.split_last() else { return (None, String::new()) };
    let plain = |name: &str| {
        let rest = name.split('.').next().unwrap_or_default();
        rest.trim_matches(['-', '_', ' ']).to_owned()
    };
    if let Some((at, range)) = date(file) {
        let rest = plain(&format!("{}{}", &file[..range.start], &file[range.end..]));
        let rest = match (rest.is_empty(), folders.last()) {
            (true, Some(folder)) => (*folder).to_owned(),
            _ => rest,
        };
        return (Some(at), rest);
    }
    for (place, folder) in folders.iter().enumerate().rev() {
        if let Some((at, range)) = date(folder) {
            let rest = format!("{}{}", &folder[..range.start], &folder[range.end..]);
            let rest = plain(&rest);
            let above = place.checked_sub(1).map(|above| folders[above].to_owned());
            return (Some(at), if rest.is_empty() { above.unwrap_or_default() } else { rest });
        }
    }
    (None, plain(file))
}

/// The first date in a name, with what time stands behind it, and where.
fn date(name: &str) -> Option<(i64, std::ops::Range<usize>)> {
    let bytes = name.as_bytes();
    (0..bytes.len()).filter(|at| *at == 0 || !bytes[at - 1].is_ascii_digit()).find_map(|start| {
        let mut place = start;
        let mut number = |digits: usize, separators: &[u8], optional: bool| -> Option<u32> {
            let mut from = place;
            match bytes.get(from) {
                Some(byte) if separators.contains(byte) => from += 1,
                _ if optional || separators.is_empty() => {}
                _ => return None,
            }
            let text = name.get(from..from + digits)?;
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            place = if is_number { from + digits } else { place };
            is_number.then(|| text.parse().ok())?
        };
        let year = number(4, b"", true)?;
        let month = number(2, b"-", true)?;
        let day = number(2, b"-", true)?;
        let after_day = place;
        let time = match bytes.get(after_day) {
            Some(b'T' | b'_' | b' ') => {
                place = after_day + 1;
                let mut number = |separators: &[u8]| -> Option<u32> {
                    let mut from = place;
                    from +=
                        usize::from(bytes.get(from).is_some_and(|byte| separators.contains(byte)));
                    let text = name.get(from..from + 2)?;
                    let value = text
                        .bytes()
                        .all(|byte| byte.is_ascii_digit())
                        .then(|| text.parse().ok())?;
                    place = from + 2;
                    value
                };
                match (number(b""), number(b":-.")) {
                    (Some(hour), Some(minute)) => {
                        let second = number(b":-.").unwrap_or(0);
                        place += usize::from(bytes.get(place) == Some(&b'Z'));
                        (hour, minute, second)
                    }
                    _ => {
                        place = after_day;
                        (0, 0, 0)
                    }
                }
            }
            _ => (0, 0, 0),
        };
        if bytes.get(place).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let (hour, minute, second) = time;
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        Some((TimeFormat::Rfc3339.parse(&text).ok()?, start..place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_when_and_of_what() {
        let check = |path: &str, at: Option<&str>, scope: &str| {
            let at = at.map(|at| TimeFormat::Auto.parse(at).unwrap());
            assert_eq!(split(path), (at, scope.to_owned()), "{path}");
        };
        check("declared/network/2026-01-05.tfstate", Some("2026-01-05T00:00:00Z"), "network");
        check("d/network-2026-01-05T10:15:00Z.tfstate", Some("2026-01-05T10:15:00Z"), "network");
        check("d/20260105T101500Z-app.json.gz", Some("2026-01-05T10:15:00Z"), "app");
        check("d/2026-01-05_10-15/web.yaml", Some("2026-01-05T10:15:00Z"), "d");
        check("shop/2026-01-05T10.15.30/a/web.yaml", Some("2026-01-05T10:15:30Z"), "shop");
        check("shop/prod-2026-01-05/web.yaml", Some("2026-01-05T00:00:00Z"), "prod");
        check("d/web-2026-13-05.yaml", None, "web-2026-13-05");
        check("d/web.v2.yaml", None, "web");
        check("d/build-1202601051.yaml", None, "build-1202601051");
    }
}
