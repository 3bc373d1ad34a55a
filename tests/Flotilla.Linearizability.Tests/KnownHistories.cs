namespace Flotilla.Linearizability.Tests;

/// <summary>Histories whose verdict is known, one story each.</summary>
public sealed class KnownHistories
{
    private static Operation Put(string client, string value, long start, long end, Outcome outcome = Outcome.Ok) =>
        new(client, OperationKind.Put, "k", value, null, start, end, outcome, null, null);

    private static Operation Get(string client, string? read, long start, long end) =>
        new(client, OperationKind.Get, "k", null, null, start, end, Outcome.Ok, read, read is not null);

    private static Operation Delete(string client, bool? found, long start, long end, Outcome outcome = Outcome.Ok) =>
        new(client, OperationKind.Delete, "k", null, null, start, end, outcome, null, found);

    private static Operation Cas(string client, string? expected, string value, bool swapped, long start, long end, Outcome outcome = Outcome.Ok) =>
        new(client, OperationKind.CompareAndSwap, "k", value, expected, start, end, outcome, null, swapped);

    private static Operation Increment(string client, string? read, long start, long end, Outcome outcome = Outcome.Ok) =>
        new(client, OperationKind.Increment, "k", null, null, start, end, outcome, read, null);

    private static void Right(params Operation[] history)
    {
        Assert.True(BruteForce.IsLinearizable(history));
        var result = LinearizabilityChecker.Check(history);
        Assert.True(result.Ok, result.Explanation);
    }

    private static CheckResult Wrong(params Operation[] history)
    {
        Assert.False(BruteForce.IsLinearizable(history));
        var result = LinearizabilityChecker.Check(history);
        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.Contains("key k: not linearizable", result.Explanation, StringComparison.Ordinal);
        return result;
    }

    [Fact]
    public void Nothing_is_linearizable() => Right();

    [Fact]
    public void A_read_after_a_write_sees_it() => Right(Put("a", "1", 0, 10), Get("b", "1", 11, 20));

    [Fact]
    public void A_read_beside_a_write_may_see_either() =>
        Right(Put("a", "1", 0, 10), Put("a", "2", 20, 40), Get("b", "1", 25, 30), Get("c", "2", 25, 30));

    [Fact]
    public void Operations_that_touch_at_an_instant_are_concurrent() => Right(Put("a", "1", 0, 10), Get("b", null, 10, 20));

    [Fact]
    public void A_stale_read_is_wrong() => Wrong(Put("a", "1", 0, 10), Put("a", "2", 20, 30), Get("b", "1", 31, 40));

    [Fact]
    public void A_lost_write_is_wrong() => Wrong(Put("a", "1", 0, 10), Get("b", null, 11, 20));

    [Fact]
    public void A_value_never_written_is_wrong() => Wrong(Put("a", "1", 0, 10), Get("b", "7", 5, 20));

    [Fact]
    public void A_value_from_the_future_is_wrong() => Wrong(Get("b", "1", 0, 5), Put("a", "1", 10, 20));

    [Fact]
    public void Reads_that_go_back_are_wrong() =>
        Wrong(Put("a", "1", 0, 10), Put("b", "2", 20, 100), Get("c", "2", 30, 40), Get("d", "1", 50, 60));

    [Fact]
    public void Two_readers_that_disagree_on_the_order_of_writes_are_wrong() =>
        Wrong(Put("a", "1", 0, 100), Put("b", "2", 0, 100), Get("c", "1", 10, 20), Get("c", "2", 30, 40), Get("c", "1", 50, 60));

    [Fact]
    public void A_failed_write_that_is_seen_is_wrong() => Wrong(Put("a", "1", 0, 10, Outcome.Fail), Get("b", "1", 11, 20));

    [Fact]
    public void An_unknown_write_may_be_seen() => Right(Put("a", "1", 0, 10, Outcome.Unknown), Get("b", "1", 11, 20));

    [Fact]
    public void An_unknown_write_may_never_be_seen() => Right(Put("a", "1", 0, 10, Outcome.Unknown), Get("b", null, 11, 20));

    [Fact]
    public void An_unknown_write_may_take_effect_long_after_it_was_given_up() =>
        Right(Put("a", "1", 0, 10, Outcome.Unknown), Get("b", null, 11, 20), Put("c", "2", 30, 40), Get("b", "2", 50, 60), Get("b", "1", 70, 80));

    [Fact]
    public void An_unknown_write_seen_and_then_unseen_is_wrong() =>
        Wrong(Put("a", "1", 0, 10, Outcome.Unknown), Get("b", "1", 11, 20), Get("b", null, 30, 40));

    [Fact]
    public void An_unknown_write_takes_effect_at_most_once() =>
        Wrong(Put("a", "1", 0, 10, Outcome.Unknown), Get("b", "1", 11, 20), Put("c", "2", 30, 40), Get("b", "2", 50, 60), Get("b", "1", 70, 80));

    [Fact]
    public void An_unknown_write_cannot_be_seen_before_it_began() =>
        Wrong(Get("b", "1", 0, 5), Put("a", "1", 10, 20, Outcome.Unknown));

    [Fact]
    public void Two_swaps_of_the_same_value_are_wrong() =>
        Wrong(Put("a", "1", 0, 10), Cas("b", "1", "2", true, 20, 50), Cas("c", "1", "3", true, 20, 50));

    [Fact]
    public void A_swap_applied_twice_is_wrong() =>
        Wrong(Put("a", "1", 0, 10), Cas("b", "1", "2", true, 20, 30), Put("a", "1", 40, 50), Get("c", "2", 60, 70));

    [Fact]
    public void A_mismatch_after_a_delete_and_a_put_of_unknown_outcome_owes_itself_to_the_put() =>
        Right(Delete("a", null, 0, 5, Outcome.Unknown), Put("b", "1", 10, 20, Outcome.Unknown), Cas("c", null, "2", false, 30, 40));

    [Fact]
    public void A_mismatch_where_it_must_have_matched_is_wrong() => Wrong(Put("a", "1", 0, 10), Cas("b", "1", "2", false, 20, 30));

    [Fact]
    public void Of_two_racing_swaps_one_wins() =>
        Right(Put("a", "1", 0, 10), Cas("b", "1", "2", true, 20, 50), Cas("c", "1", "3", false, 20, 50), Get("d", "2", 60, 70));

    [Fact]
    public void An_unknown_swap_explains_a_mismatch() =>
        Right(Put("a", "1", 0, 10), Cas("b", "1", "2", true, 20, 30, Outcome.Unknown), Cas("c", "1", "3", false, 40, 50));

    [Fact]
    public void Create_only_twice_is_wrong() => Wrong(Cas("a", null, "1", true, 0, 10), Cas("b", null, "2", true, 20, 30));

    [Fact]
    public void A_deleted_value_that_comes_back_is_wrong() =>
        Wrong(Put("a", "1", 0, 10), Delete("a", true, 20, 30), Get("b", "1", 40, 50));

    [Fact]
    public void Deleting_the_same_record_twice_is_wrong() =>
        Wrong(Put("a", "1", 0, 10), Delete("a", true, 20, 40), Delete("b", true, 20, 40));

    [Fact]
    public void A_delete_that_found_a_write_nobody_read_is_right() =>
        Right(Put("a", "1", 0, 10, Outcome.Unknown), Delete("b", true, 20, 30), Get("c", null, 40, 50));

    [Fact]
    public void An_unknown_delete_covers_up_a_write_that_nobody_saw() =>
        Right(Put("a", "1", 0, 10), Delete("b", null, 5, 10, Outcome.Unknown), Get("c", null, 40, 50));

    [Fact]
    public void A_counter_that_skips_is_wrong() => Wrong(Increment("a", "1", 0, 10), Increment("b", "3", 20, 30));

    [Fact]
    public void A_counter_that_counts_twice_the_same_is_wrong() => Wrong(Increment("a", "1", 0, 10), Increment("b", "1", 0, 10));

    [Fact]
    public void An_unknown_increment_explains_a_gap() =>
        Right(Increment("a", "1", 0, 10), Increment("c", null, 5, 10, Outcome.Unknown), Increment("b", "3", 20, 30), Get("a", "3", 40, 50));

    [Fact]
    public void One_unknown_increment_does_not_explain_two_gaps() =>
        Wrong(Increment("a", "1", 0, 10), Increment("c", null, 5, 10, Outcome.Unknown), Increment("b", "3", 20, 30), Increment("b", "5", 40, 50));

    [Fact]
    public void The_explanation_names_the_operations_and_nothing_after_the_first_proof()
    {
        var history = new List<Operation>();
        for (var i = 0; i < 200; i++)
        {
            history.Add(Put("a", $"w{i}", i * 100, (i * 100) + 10));
            history.Add(Get("b", i == 120 ? "w118" : $"w{i}", (i * 100) + 20, (i * 100) + 30));
        }

        var result = LinearizabilityChecker.Check(history);
        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.Contains("b get k => w118   <- does not fit", result.Explanation, StringComparison.Ordinal);
        Assert.Contains("the value is then w120", result.Explanation, StringComparison.Ordinal);
        Assert.DoesNotContain("w121", result.Explanation, StringComparison.Ordinal);
        Assert.InRange(result.Explanation.Split('\n').Length, 5, 30);
    }

    [Fact]
    public void A_history_survives_its_file()
    {
        Operation[] history =
        [
            Put("a", "1", 0, 10), Get("b", null, 1, 2), Get("b", "1", 11, 12), Cas("c", null, "2", false, 13, 14), Delete("d", true, 15, 16),
            Increment("e", "1", 17, 18), Put("f", "3", 19, 20, Outcome.Unknown), Put("f", "4", 21, 22, Outcome.Fail),
        ];
        var text = new StringWriter();
        HistoryFile.Write(text, history);
        Assert.Equal(history, HistoryFile.Read(new StringReader(text.ToString())).ToArray());
    }

    [Fact]
    public void A_history_file_as_bench_writes_it_is_read()
    {
        var line = """{"client":3,"op":"cas","key":"k","value":"x","expected":"y","start_us":1,"end_us":2,"outcome":"ok","found":true}""";
        var op = Assert.Single(HistoryFile.Read(new StringReader(line)));
        Assert.Equal(new Operation("3", OperationKind.CompareAndSwap, "k", "x", "y", 1, 2, Outcome.Ok, null, true), op);
        Assert.Throws<FormatException>(() => HistoryFile.Read(new StringReader("""{"op":"pat"}""")).ToList());
        Assert.Throws<FormatException>(() => HistoryFile.Read(new StringReader("{")).ToList());
    }
}
