# What SmokePing's daemon fires, round by round. Questions come as lines of JSON {pings, order, alerts: {name: {type,
# pattern, edgetrigger, priority}}, rounds: [[lost or "U", seconds or "U"], ...]}; each is answered by a list with the
# firings of each round, "name what".
use strict;
use warnings;
use JSON::PP;
use Smokeping;

local $SIG{__WARN__} = sub { };
$| = 1;
my @fired;
{
    no warnings 'redefine';
    *Smokeping::do_log = sub { push @fired, "$1 $2" if "@_" =~ /^Alert (\S+) (?:was|is) (\w+) for/ };
}
while (my $line = <STDIN>) {
    my $question = decode_json($line);
    my $config = { General => { datadir => '/data', cgiurl => 'http://localhost/' }, Alerts => $question->{alerts} };
    Smokeping::init_alerts($config);
    my ($longest) = sort { $b <=> $a } map { $_->{maxlength} } values %{ $question->{alerts} };
    my $target = { alerts => $question->{order}, fetchlength => $longest };
    my @answer;
    for my $round (@{ $question->{rounds} }) {
        @fired = ();
        Smokeping::check_alerts($config, $target, $question->{pings}, '/data/A', 'host', @$round, undef);
        push @answer, [@fired];
    }
    print encode_json(\@answer), "\n";
}
