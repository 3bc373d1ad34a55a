using Flotilla.Raft.Quiet;
using Flotilla.Raft.Tests.Scenarios;

namespace Flotilla.Raft.Tests.Quiet;

/// <summary>The books of one loop: whom to send heartbeats, and whose are missing.</summary>
public sealed class QuietGroupsTests
{
    private static readonly NodeId N1 = new("n1");
    private static readonly NodeId N2 = new("n2");
    private static readonly RaftOptions Options = new();
    private readonly ScenarioWorld _world = new();
    private readonly List<NodeId> _to = [];

    public QuietGroupsTests()
    {
        Run("options quiet-after-ms=1000", "cluster n1 n2 n3", "start", "tick n1 450", "run", "pass 1500");
        Assert.True(_world.RaftOf("n1").IsQuiet && _world.RaftOf("n2").IsQuiet);
    }

    [Fact]
    public void A_loop_that_leads_quiet_groups_beats_to_their_other_members_and_half_as_often_when_all_are_quiet()
    {
        var groups = new QuietGroups<string>(N1, Options);
        var now = _world.NowOf("n1");
        Assert.Equal(Instant.Never, groups.NextDeadline);
        groups.Note("a", _world.RaftOf("n1"), now);
        groups.Note("b", _world.RaftOf("n1"), now);
        Assert.Equal(2, groups.Count);
        Assert.True(groups.NextDeadline <= now);
        Assert.True(groups.TakeBeat(now, someAreAwake: true, _to));
        Assert.Equal([N2, new NodeId("n3")], _to);
        Assert.False(groups.TakeBeat(now.PlusMs(49), someAreAwake: false, _to));
        Assert.True(groups.TakeBeat(now.PlusMs(50), someAreAwake: false, _to));
        Assert.Equal(now.PlusMs(150), groups.NextDeadline);

        Run("propose n1 x");
        groups.Note("a", _world.RaftOf("n1"), now);
        Assert.Equal(1, groups.Count);
        groups.Note("b", _world.RaftOf("n1"), now);
        Assert.Equal(Instant.Never, groups.NextDeadline);
        Assert.False(groups.TakeBeat(now.PlusMs(1000), someAreAwake: false, _to));
    }

    [Fact]
    public void A_group_whose_leader_was_not_heard_for_an_election_timeout_is_named()
    {
        var groups = new QuietGroups<string>(N2, Options);
        var follower = _world.RaftOf("n2");
        var heard = follower.LastLeaderContact;
        groups.Note("a", follower, heard);
        Assert.Equal([(N1, follower.LeaderPulse)], groups.Sources);
        Assert.True(groups.TakeBeat(heard, someAreAwake: false, _to));
        Assert.Equal([N1], _to);
        Assert.Equal(heard.PlusMs(100), groups.NextDeadline);
        Assert.True(groups.TakeBeat(heard.PlusMs(250), someAreAwake: false, _to));
        Assert.Equal(heard.PlusMs(300), groups.NextDeadline);
        Assert.Empty(groups.TakeSilent(heard.PlusMs(299)));

        groups.Heard(N1, follower.LeaderPulse, heard.PlusMs(100));
        Assert.Equal(heard.PlusMs(100), groups.LastHeard("a"));
        Assert.Empty(groups.TakeSilent(heard.PlusMs(399)));

        // Heartbeats of another process of that node, or of another loop, stand in for nobody here.
        groups.Heard(N1, follower.LeaderPulse with { Boot = 2 }, heard.PlusMs(350));
        groups.Heard(N1, follower.LeaderPulse with { Loop = 1 }, heard.PlusMs(350));
        groups.Heard(N1, follower.LeaderPulse with { Incarnation = new(7) }, heard.PlusMs(350));
        Assert.Equal(["a"], groups.TakeSilent(heard.PlusMs(400)));
        follower.LeaderIsSilent(heard.PlusMs(400));
        groups.Note("a", follower, heard.PlusMs(400));
        Assert.Equal(0, groups.Count);
        Assert.Equal(Instant.Never, groups.NextDeadline);
    }

    [Fact]
    public void A_group_is_forlorn_when_a_majority_of_its_members_is_silent()
    {
        var groups = new QuietGroups<string>(N1, Options);
        var now = _world.NowOf("n1");
        groups.Note("a", _world.RaftOf("n1"), now);
        groups.Heard(N2, now.PlusMs(100));
        Assert.Empty(groups.TakeForlorn(now.PlusMs(350)));
        Assert.Equal(["a"], groups.TakeForlorn(now.PlusMs(400)));
        Assert.Empty(groups.TakeForlorn(now.PlusMs(450)));
        groups.Heard(N2, now.PlusMs(500));
        Assert.Empty(groups.TakeForlorn(now.PlusMs(600)));
        Assert.Equal(["a"], groups.TakeForlorn(now.PlusMs(800)));

        _world.RaftOf("n1").QuorumIsSilent(now.PlusMs(800));
        Assert.False(_world.RaftOf("n1").IsQuiet);
        groups.Note("a", _world.RaftOf("n1"), now.PlusMs(800));
        Assert.Equal(Instant.Never, groups.NextDeadline);
    }

    [Fact]
    public void A_new_boot_number_and_a_new_data_directory_name_every_group_that_the_earlier_process_led()
    {
        var groups = new QuietGroups<string>(N2, Options);
        var follower = _world.RaftOf("n2");
        var pulse = follower.LeaderPulse;
        groups.Note("a", follower, _world.NowOf("n2"));
        groups.Note("b", follower, _world.NowOf("n2"));
        Assert.Empty(groups.TakeOutlived(N1, pulse.Incarnation, pulse.Boot));
        Assert.Empty(groups.TakeOutlived(new NodeId("n3"), pulse.Incarnation, pulse.Boot + 1));
        Assert.Equal(["a", "b"], groups.TakeOutlived(N1, pulse.Incarnation, pulse.Boot + 1));
        Assert.Equal(["a", "b"], groups.TakeOutlived(N1, new Incarnation(7), pulse.Boot));
    }

    private void Run(params string[] commands)
    {
        foreach (var command in commands)
        {
            _world.Run(command);
        }
    }
}
